//! The contract of the port on every adapter.

mod memory {
    rtmanager_tests::record_store_contract!(memory);
    rtmanager_tests::record_walks_contract!(memory);
    rtmanager_tests::record_runs_contract!(memory);
    rtmanager_tests::record_revocations_contract!(memory);
}

mod sqlite {
    rtmanager_tests::record_store_contract!(sqlite);
    rtmanager_tests::record_walks_contract!(sqlite);
    rtmanager_tests::record_runs_contract!(sqlite);
    rtmanager_tests::record_revocations_contract!(sqlite);
}

mod postgres {
    rtmanager_tests::record_store_contract!(postgres);
    rtmanager_tests::record_walks_contract!(postgres);
    rtmanager_tests::record_runs_contract!(postgres);
    rtmanager_tests::record_revocations_contract!(postgres);
}

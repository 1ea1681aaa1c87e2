//! The contract of the port on every adapter.

mod memory {
    rtmanager_tests::journal_store_contract!(memory);
}

mod sqlite {
    rtmanager_tests::journal_store_contract!(sqlite);
}

mod postgres {
    rtmanager_tests::journal_store_contract!(postgres);
}

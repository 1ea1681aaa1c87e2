//! The contract of the port on every adapter.

mod memory {
    rtmanager_tests::generation_store_contract!(memory);
    rtmanager_tests::generation_scopes_contract!(memory);
}

mod sqlite {
    rtmanager_tests::generation_store_contract!(sqlite);
    rtmanager_tests::generation_scopes_contract!(sqlite);
}

mod postgres {
    rtmanager_tests::generation_store_contract!(postgres);
    rtmanager_tests::generation_scopes_contract!(postgres);
}

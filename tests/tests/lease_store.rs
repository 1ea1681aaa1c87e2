//! The contract of the port on every adapter.

mod memory {
    rtmanager_tests::lease_store_contract!(memory);
}

mod sqlite {
    rtmanager_tests::lease_store_contract!(sqlite);
}

//! The contract of the port on every adapter.

mod memory {
    rtmanager_tests::audit_log_contract!(memory);
}

mod sqlite {
    rtmanager_tests::audit_log_contract!(sqlite);
}

mod postgres {
    rtmanager_tests::audit_log_contract!(postgres);
}

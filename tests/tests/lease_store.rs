//! The contract of the port on every adapter.

mod memory {
    rtmanager_tests::lease_store_contract!(memory);
    rtmanager_tests::lease_clock_contract!(memory);
}

mod sqlite {
    rtmanager_tests::lease_store_contract!(sqlite);
    rtmanager_tests::lease_clock_contract!(sqlite);
}

/// By Redis's own clock, which no test can set.
mod redis {
    rtmanager_tests::lease_store_contract!(redis);
}

mod redis_cluster {
    rtmanager_tests::lease_store_contract!(redis_cluster);
}

mod postgres {
    rtmanager_tests::lease_store_contract!(postgres);
}

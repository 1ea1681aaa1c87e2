//! The one place where the contract in `wit/` becomes Rust.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated; the documentation stands in wit/")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "lifecycle-policy",
    imports: {
        "galaxy:rtmanager/clock.now": trappable,
        "wasi:logging/logging.log": trappable,
        "wasi:config/store": trappable,
        default: async | trappable,
    },
    exports: { default: async },
    with: { "galaxy:rtmanager/leases.lease": crate::runtime::imports::leases::Lease },
    trappable_error_type: { "galaxy:rtmanager/types.error" => crate::runtime::imports::ImportError },
});

//! What there is to import, and the grant that each of it takes; and what a policy has to export.

use crate::model::Grant;

/// The interfaces that a policy must export, each with the function that is called.
pub(super) const EXPORTS: [(&str, &str); 2] =
    [("galaxy:rtmanager/cleanup@0.1.0", "handle"), ("galaxy:rtmanager/retention@0.1.0", "review")];

/// An interface of the world: its name, and its functions with their grants. One without functions has types only.
pub(super) struct Interface {
    pub(super) name: &'static str,
    pub(super) functions: &'static [(&'static str, Grant)],
}

/// The world, but for WASI.
pub(super) const WORLD: [Interface; 8] = [
    Interface { name: "galaxy:rtmanager/types@0.1.0", functions: &[] },
    Interface { name: "galaxy:rtmanager/clock@0.1.0", functions: &[("now", Grant::Clock)] },
    Interface {
        name: "galaxy:rtmanager/leases@0.1.0",
        functions: &[("try-acquire", Grant::Leases), ("[method]lease.release", Grant::Leases)],
    },
    Interface {
        name: "galaxy:rtmanager/records@0.1.0",
        functions: &[("get", Grant::RecordsGet), ("update-status", Grant::RecordsUpdateStatus)],
    },
    Interface {
        name: "galaxy:rtmanager/docker@0.1.0",
        functions: &[("inspect", Grant::DockerInspect), ("remove", Grant::DockerRemove)],
    },
    Interface { name: "galaxy:rtmanager/op-log@0.1.0", functions: &[("append", Grant::OpLog)] },
    Interface {
        name: "wasi:config/store@0.2.0-rc.1",
        functions: &[("get", Grant::AllSettings), ("get-all", Grant::AllSettings)],
    },
    Interface { name: "wasi:logging/logging@0.1.0-draft", functions: &[("log", Grant::Logging)] },
];

/// The interfaces of the WASI that is linked, of any version 0.2; whether each function fits, linking tells.
pub(super) const WASI: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// What an import is, by its interface's name.
pub(super) enum Known {
    /// An interface of the world.
    World(&'static Interface),
    /// One of WASI's.
    Wasi,
}

/// The interface of this name, with its version; none if there is no such.
pub(super) fn interface(name: &str) -> Option<Known> {
    if let Some(interface) = WORLD.iter().find(|interface| interface.name == name) {
        return Some(Known::World(interface));
    }
    let (name, version) = name.split_once('@')?;
    (version.starts_with("0.2.") && WASI.contains(&name)).then_some(Known::Wasi)
}

/// Everything that could be imported in its stead, for people.
pub(super) fn importable() -> String {
    let names: Vec<&str> = WORLD.iter().map(|interface| interface.name).collect();
    format!("{}, and wasi:cli, clocks, filesystem, io, random and sockets of version 0.2", names.join(", "))
}

//! Who supplies the ports: one file (or folder) for each technology. Adapters never see one another.

pub mod docker;
pub mod memory;
pub mod sqlite;
pub mod system_clock;

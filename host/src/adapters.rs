//! Who supplies the ports: one file (or folder) for each technology. Adapters never see one another; those of SQL
//! databases share how rows are read.

pub mod docker;
pub mod memory;
pub mod postgres;
pub mod redis;
mod scope;
mod sql;
pub mod sqlite;
pub mod system_clock;

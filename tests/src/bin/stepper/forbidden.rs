//! System calls at which a process dies, before they have any effect.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// One step of writing a file whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Forbidden {
    MakeDirectory,
    Create,
    Write,
    Sync,
    Rename,
    Link,
    Remove,
    /// Opening what is there.
    Open,
    List,
}

impl Forbidden {
    /// From now on, on this thread, the first such call ends the process.
    pub(crate) fn kills(self) -> anyhow::Result<()> {
        let creates = libc::O_CREAT as u64;
        let rules: BTreeMap<i64, Vec<SeccompRule>> = match self {
            Self::Create => [(libc::SYS_openat, only_with_flags(creates, creates)?)].into(),
            Self::Open => [(libc::SYS_openat, only_with_flags(creates, 0)?)].into(),
            other => other.calls().iter().map(|call| (*call, Vec::new())).collect(),
        };
        let architecture = std::env::consts::ARCH.try_into()?;
        let filter: BpfProgram =
            SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::KillProcess, architecture)?.try_into()?;
        Ok(seccompiler::apply_filter(&filter)?)
    }

    fn calls(self) -> &'static [i64] {
        match self {
            Self::MakeDirectory => MAKE_DIRECTORY,
            Self::Create | Self::Open => &[libc::SYS_openat],
            Self::Write => &[libc::SYS_write, libc::SYS_writev, libc::SYS_pwrite64],
            Self::Sync => &[libc::SYS_fsync, libc::SYS_fdatasync],
            Self::Rename => RENAME,
            Self::Link => LINK,
            Self::Remove => REMOVE,
            Self::List => &[libc::SYS_getdents64],
        }
    }
}

#[cfg(target_arch = "x86_64")]
const MAKE_DIRECTORY: &[i64] = &[libc::SYS_mkdir, libc::SYS_mkdirat];
#[cfg(target_arch = "x86_64")]
const RENAME: &[i64] = &[libc::SYS_rename, libc::SYS_renameat, libc::SYS_renameat2];
#[cfg(target_arch = "x86_64")]
const LINK: &[i64] = &[libc::SYS_link, libc::SYS_linkat];
#[cfg(target_arch = "x86_64")]
const REMOVE: &[i64] = &[libc::SYS_unlink, libc::SYS_unlinkat];

#[cfg(not(target_arch = "x86_64"))]
const MAKE_DIRECTORY: &[i64] = &[libc::SYS_mkdirat];
#[cfg(not(target_arch = "x86_64"))]
const RENAME: &[i64] = &[libc::SYS_renameat, libc::SYS_renameat2];
#[cfg(not(target_arch = "x86_64"))]
const LINK: &[i64] = &[libc::SYS_linkat];
#[cfg(not(target_arch = "x86_64"))]
const REMOVE: &[i64] = &[libc::SYS_unlinkat];

/// If these of the flags are so.
fn only_with_flags(mask: u64, value: u64) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let compares = SeccompCmpOp::MaskedEq(mask);
    let condition = SeccompCondition::new(2, SeccompCmpArgLen::Dword, compares, value)?;
    Ok(vec![SeccompRule::new(vec![condition])?])
}

//! The compiler's cage: bounds on what the process may use, and a filter that leaves it the few system calls that a
//! computation needs. It may read what it has open, write what it has open, and use memory and threads. It cannot open
//! a file, a socket or a process, run a program, look into another process, or make memory executable.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::RawFd;

use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::order::CompileOrder;

/// Threads that compile, at most: each may use its share of the address space.
pub(super) const THREADS: u32 = 4;

/// Standard input, output and error are open; nothing else can be.
const OPEN_FILES: u64 = 3;

/// What this process has open, by number.
const DESCRIPTORS: &str = "/proc/self/fd";

/// The cage cannot be closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CageError {
    #[error("cannot close what was inherited: {0}")]
    Inherited(#[from] io::Error),
    #[error("cannot limit {0}: {1}")]
    Limit(&'static str, rustix::io::Errno),
    #[error("cannot filter system calls: {0}")]
    Filter(#[from] seccompiler::Error),
    #[error("cannot make the filter of system calls: {0}")]
    Program(#[from] seccompiler::BackendError),
}

/// Closes the cage around this thread and all that it starts. There is no way back.
pub(super) fn enter(order: &CompileOrder) -> Result<(), CageError> {
    close_inherited()?;
    limit("core files", Resource::Core, 0)?;
    limit("file sizes", Resource::Fsize, 0)?;
    limit("open files", Resource::Nofile, OPEN_FILES)?;
    limit("address space", Resource::As, order.memory_bytes)?;
    limit("CPU time", Resource::Cpu, order.cpu_seconds)?;
    // Sets no_new_privs as well.
    Ok(seccompiler::apply_filter(&filter()?)?)
}

/// A limit of open files closes none, and whoever started our parent may have left it something that it never closed.
fn close_inherited() -> io::Result<()> {
    inherited()?.into_iter().for_each(close);
    match inherited()?.len() {
        0 => Ok(()),
        more => Err(io::Error::other(format!("{more} descriptors stay open"))),
    }
}

/// What is open beside standard input, output and error.
fn inherited() -> io::Result<Vec<RawFd>> {
    let number = |entry: io::Result<fs::DirEntry>| {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a descriptor without a number"))
    };
    let mut open: Vec<RawFd> = fs::read_dir(DESCRIPTORS)?.map(number).collect::<io::Result<_>>()?;
    open.retain(|fd| u64::try_from(*fd).is_ok_and(|fd| fd >= OPEN_FILES));
    // But for the one by which they were listed, which is closed again.
    open.retain(|fd| fs::symlink_metadata(format!("{DESCRIPTORS}/{fd}")).is_ok());
    Ok(open)
}

#[allow(
    unsafe_code,
    reason = "no safe call closes a descriptor by its number. Nobody here owns one of these: the process has just begun, \
              with one thread, and has opened nothing itself"
)]
fn close(fd: RawFd) {
    // SAFETY: it is open, and nothing of ours uses it; see above.
    unsafe { rustix::io::close(fd) }
}

fn limit(what: &'static str, resource: Resource, most: u64) -> Result<(), CageError> {
    setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
        .map_err(|error| CageError::Limit(what, error))
}

/// Whatever is not listed does not exist, by its answer: the C library then does without, such as `clone` for `clone3`,
/// whose flags no filter can see.
fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.into_iter().map(|call| (call, Vec::new())).collect();
    let executable = libc::PROT_EXEC as u64;
    let thread = libc::CLONE_THREAD as u64;
    let itself = u64::from(std::process::id());
    rules.insert(libc::SYS_mmap, only(2, SeccompCmpOp::MaskedEq(executable), 0)?);
    rules.insert(libc::SYS_mprotect, only(2, SeccompCmpOp::MaskedEq(executable), 0)?);
    rules.insert(libc::SYS_clone, only(0, SeccompCmpOp::MaskedEq(thread), thread)?);
    rules.insert(libc::SYS_prctl, only(0, SeccompCmpOp::Eq, libc::PR_SET_NAME as u64)?);
    // How a process aborts.
    rules.insert(libc::SYS_tgkill, only(0, SeccompCmpOp::Eq, itself)?);
    let absent = SeccompAction::Errno(libc::ENOSYS as u32);
    let architecture = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, absent, SeccompAction::Allow, architecture)?.try_into()
}

/// If this argument compares so.
fn only(argument: u8, compares: SeccompCmpOp, to: u64) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, compares, to)?;
    Ok(vec![SeccompRule::new(vec![condition])?])
}

/// Allowed with any arguments: pipes that are open, memory, threads waiting for each other, time, randomness, the end.
const ALLOWED: [i64; 30] = [
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

//! The parent's side: one process for one component, with nothing of ours but three pipes.

use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::order::{CompileOrder, REJECTED, UNCAGED};
use super::{CompileError, CompilerOptions};
use crate::model::bounded_text;
use crate::runtime::EngineFingerprint;

/// What is kept of the compiler's complaint.
const COMPLAINT_BYTES: usize = 1024;

/// Compiles a component; answers the fingerprint of the compiler's engine, and the code behind it. The process ends
/// when this is dropped.
pub(super) async fn compile(options: &CompilerOptions, component: &[u8]) -> Result<Vec<u8>, CompileError> {
    let failed = |source| CompileError::Start { program: options.program.clone(), source };
    let mut child = start(options).map_err(failed)?;
    let (input, output, complaints) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        let Some(mut input) = input else { return };
        // A compiler that gives up before it has read everything says why.
        let _ = input.write_all(component).await;
    };
    let most = options.code_bytes.saturating_add(EngineFingerprint::BYTES as u64);
    let ((), code, complaint) = tokio::join!(write, bounded(output, most), drained(complaints));
    if u64::try_from(code.len()).unwrap_or(u64::MAX) > most {
        return Err(CompileError::TooMuchCode(options.code_bytes));
    }
    let status = child.wait().await.map_err(failed)?;
    judge(options, status, complaint).map(|()| code)
}

fn start(options: &CompilerOptions) -> std::io::Result<Child> {
    Command::new(&options.program)
        .args(CompileOrder::arguments(options))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

fn judge(options: &CompilerOptions, status: ExitStatus, complaint: String) -> Result<(), CompileError> {
    let is = |code: u8| status.code() == Some(code.into());
    if status.success() {
        return Ok(());
    }
    if is(REJECTED) {
        return Err(CompileError::Rejected(bounded_text(&complaint, COMPLAINT_BYTES)));
    }
    if is(UNCAGED) {
        return Err(CompileError::Uncaged(bounded_text(&complaint, COMPLAINT_BYTES)));
    }
    // What follows the first line is advice for whoever debugs a program.
    let said =
        complaint.lines().next().map_or_else(String::new, |line| format!(" ({})", bounded_text(line, COMPLAINT_BYTES)));
    Err(CompileError::Broke { ended: format!("{status}{said}"), memory_bytes: options.memory_bytes })
}

/// Up to one byte more than `most`, which tells that there is too much.
async fn bounded(output: Option<impl AsyncRead + Unpin>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(output) = output {
        // A pipe that breaks is one whose writer is gone; its status tells why.
        let _ = output.take(most.saturating_add(1)).read_to_end(&mut bytes).await;
    }
    bytes
}

/// Everything is read, lest the writer waits; the beginning is kept.
async fn drained(complaints: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut complaints) = complaints else { return String::new() };
    let (mut kept, mut buffer) = (Vec::new(), [0; 1024]);
    while let Ok(count @ 1..) = complaints.read(&mut buffer).await {
        let room = COMPLAINT_BYTES.saturating_sub(kept.len());
        kept.extend(buffer.iter().take(count.min(room)));
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

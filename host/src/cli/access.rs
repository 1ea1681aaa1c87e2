//! Tokens and the trail.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};

use super::operate::moment;
use super::{Answer, Error, render};
use crate::access::{Anchor, Caller, NewToken, Rotation, TokenName, Trail};
use crate::app::Stores;
use crate::config::parse_span;
use crate::model::{AuditEntry, Role, TenantId, Timestamp};
use crate::views::{AuditedAction, MadeToken, NamedToken, Page, PrunedTrail, TrailVerification};

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Makes a token and prints its secret, which is never shown again
    Create {
        /// Its name, never used before; its holder acts as token:NAME
        name: TokenName,
        /// What its holder may do
        #[arg(long, value_enum)]
        role: RoleName,
        /// The tenant, for the role tenant
        #[arg(long, required_if_eq("role", "tenant"))]
        tenant: Option<TenantId>,
        /// Until when: a time such as 2026-12-01T00:00:00Z, or a span from now such as 90d [default: until revoked]
        #[arg(long)]
        expires: Option<String>,
    },
    /// Lists tokens by name, without their secrets
    List,
    /// Makes another token in the place of one, which ends after a while, and prints its secret
    Rotate {
        /// The old one's name; the new one is called NAME.2, NAME.3 and so on
        name: String,
        /// How long the old one goes on
        #[arg(long, default_value = "1d")]
        overlap: String,
        /// Until when the new one is valid [default: for as long as the old one was]
        #[arg(long)]
        expires: Option<String>,
    },
    /// Revokes a token, which opens nothing from the next request on
    Revoke {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum RoleName {
    /// Everything
    Admin,
    /// Everything about runtimes, pauses and the log; sees policies, and changes none
    Operator,
    /// Sees all of that, and changes nothing
    Viewer,
    /// One tenant's: manages that tenant's policies within its ceiling, and sees its runtimes and log
    Tenant,
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Lists what was done, oldest first
    List {
        /// From this number on
        #[arg(long, value_name = "SEQUENCE", default_value_t = 1)]
        from: u64,
        /// Rows at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Removes the oldest links, leaving one that vouches for where the trail begins
    ///
    /// The whole trail is verified before. What is removed can be kept in a file.
    Prune {
        /// Everything before this: a time such as 2026-01-01T00:00:00Z, or an age such as 365d
        #[arg(long)]
        before: String,
        /// A new file to write them into first, as `audit list --json` shows them, a line each
        #[arg(long, value_name = "FILE")]
        export: Option<PathBuf>,
    },
    /// Walks the whole trail and names the first link that is not as it was written; then ends with 1
    Verify {
        /// A link as it was told before, by this command or in a server's log: shows a trail that was cut off, too
        #[arg(long, value_name = "SEQUENCE:HASH")]
        head: Option<Anchor>,
    },
}

pub(super) async fn token(
    stores: &Stores,
    command: TokenCommand,
    operator: &Caller,
    json: bool,
) -> Result<Answer, Error> {
    let tokens = stores.tokens();
    match command {
        TokenCommand::Create { name, role, tenant, expires } => {
            let role = role.of(tenant)?;
            let expires_at = expires.map(|text| moment("--expires", &text, stores.clock.now())).transpose()?;
            let (token, secret) = tokens.create(operator, NewToken { name, role, expires_at }).await?;
            let made = MadeToken::new(&token, &secret);
            Ok(Answer::ok(if json { render::json(&made)? } else { made.secret + "\n" }))
        }
        TokenCommand::List => {
            let tokens = tokens.list(operator).await?;
            let now = stores.clock.now();
            let page = Page { items: tokens.iter().map(|token| NamedToken::new(token, now)).collect(), next: None };
            Ok(Answer::ok(if json { render::json(&page)? } else { render::token_table(&page) }))
        }
        TokenCommand::Rotate { name, overlap, expires } => {
            let wrong = || Error::Usage(format!("--overlap is {overlap:?}, and must be a span such as 1d"));
            let expires_at = expires.map(|text| moment("--expires", &text, stores.clock.now())).transpose()?;
            let rotation = Rotation { overlap: parse_span(&overlap).ok_or_else(wrong)?, expires_at };
            let (token, secret) = tokens.rotate(operator, &name, rotation).await?;
            let made = MadeToken::new(&token, &secret);
            Ok(Answer::ok(if json { render::json(&made)? } else { made.secret + "\n" }))
        }
        TokenCommand::Revoke { name } => {
            tokens.revoke(operator, &name).await?;
            let said = serde_json::json!({ "name": name, "revoked": true });
            Ok(Answer::ok(if json { render::json(&said)? } else { format!("{name}: revoked\n") }))
        }
    }
}

impl RoleName {
    fn of(self, tenant: Option<TenantId>) -> Result<Role, Error> {
        let name = match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
            Self::Tenant => "tenant",
        };
        let misplaced = || Error::Usage("--tenant goes with --role tenant, and with no other".to_owned());
        Role::from_text(name, tenant).ok_or_else(misplaced)
    }
}

pub(super) async fn audit(
    stores: &Stores,
    command: AuditCommand,
    operator: &Caller,
    json: bool,
) -> Result<Answer, Error> {
    let trail = stores.trail();
    match command {
        AuditCommand::List { from, limit } => {
            let rows = trail.read(from, limit + 1).await?;
            let page: Page<AuditedAction> = Page::of(&rows, limit, |last| last.sequence.saturating_add(1).to_string());
            Ok(Answer::ok(if json { render::json(&page)? } else { render::audit_table(&page) }))
        }
        AuditCommand::Prune { before, export } => {
            let through = trail.last_before(past(&before, stores.clock.now())?).await?;
            if let (Some(through), Some(path)) = (through, &export) {
                self::export(&trail, through, path).await?;
            }
            let links = match through {
                Some(through) => trail.prune(operator, through).await?,
                None => 0,
            };
            let pruned = PrunedTrail { links, through: through.map(|through| through.to_string()) };
            Ok(Answer::ok(if json { render::json(&pruned)? } else { render::pruned_text(&pruned) }))
        }
        AuditCommand::Verify { head } => {
            let found = TrailVerification::from(&trail.verify(head).await?);
            let text = if json { render::json(&found)? } else { render::verification_text(&found) };
            Ok(Answer { text, status: u8::from(!found.intact) })
        }
    }
}

/// Links written at a time.
const PAGE: u32 = 500;

/// A time that has been, or an age.
fn past(text: &str, now: Timestamp) -> Result<Timestamp, Error> {
    let before = parse_span(text).map(|age| now.saturating_sub(age)).map_or_else(|| text.parse(), Ok);
    let wrong = "must be a time such as 2026-01-01T00:00:00Z or an age such as 365d";
    before.map_err(|_| Error::Usage(format!("--before is {text:?}, and {wrong}")))
}

/// Writes the links up to this one into a file that is not there yet, and that only its owner can read.
async fn export(trail: &Trail, through: Anchor, path: &Path) -> Result<(), Error> {
    let failed = |source: io::Error| Error::File { path: path.to_owned(), source };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let (mut file, mut next) = (BufWriter::new(file), 1);
    loop {
        let page = trail.read(next, PAGE).await?;
        let links: Vec<_> = page.iter().take_while(|link| link.sequence <= through.sequence).collect();
        let Some(last) = links.last() else { break };
        next = last.sequence.saturating_add(1);
        links.iter().try_for_each(|link| write_line(&mut file, link)).map_err(failed)?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all()).map_err(failed)
}

fn write_line(file: &mut BufWriter<File>, link: &AuditEntry) -> io::Result<()> {
    serde_json::to_writer(&mut *file, &AuditedAction::from(link))?;
    file.write_all(b"\n")
}

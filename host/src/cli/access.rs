//! Tokens and the trail.

use clap::{Subcommand, ValueEnum};

use super::operate::moment;
use super::{Answer, Error, render};
use crate::access::{Anchor, Caller, NewToken, TokenName};
use crate::app::Stores;
use crate::model::{Role, TenantId};
use crate::views::{AuditedAction, MadeToken, NamedToken, Page, TrailVerification};

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
            let page = Page { items: tokens.iter().map(NamedToken::from).collect(), next: None };
            Ok(Answer::ok(if json { render::json(&page)? } else { render::token_table(&page) }))
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

pub(super) async fn audit(stores: &Stores, command: AuditCommand, json: bool) -> Result<Answer, Error> {
    let trail = stores.trail();
    match command {
        AuditCommand::List { from, limit } => {
            let rows = trail.read(from, limit + 1).await?;
            let page: Page<AuditedAction> = Page::of(&rows, limit, |last| last.sequence.saturating_add(1).to_string());
            Ok(Answer::ok(if json { render::json(&page)? } else { render::audit_table(&page) }))
        }
        AuditCommand::Verify { head } => {
            let found = TrailVerification::from(&trail.verify(head).await?);
            let text = if json { render::json(&found)? } else { render::verification_text(&found) };
            Ok(Answer { text, status: u8::from(!found.intact) })
        }
    }
}

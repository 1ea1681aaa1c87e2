//! Keys, and what is signed with them. Needs neither store nor server.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::{Answer, Error, render};
use super::arguments::read;
use crate::adapters::system_clock::SystemRandomness;
use crate::admission::ShapeLimits;
use crate::model::{PolicyDigest, PolicyName, PolicyVersion};
use crate::policies::ABI;
use crate::signing::{Envelope, PublicKey, SigningKey, Statement, TenantScope};

/// Longer than any key's file.
const LONGEST_KEY: u64 = 16 << 10;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Makes a key: the private one in a file for its owner only, the public one on stdout
    New {
        /// The file; must not exist yet
        file: PathBuf,
    },
    /// Shows the public key of a private or public key's file, and its id
    Show {
        /// The file
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct Sign {
    /// The component
    file: PathBuf,
    /// The private key's file: ed25519, as `policy key new` or `openssl genpkey -algorithm ed25519` makes it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// What the policy is called
    #[arg(long)]
    name: PolicyName,
    /// Which version of that it is
    #[arg(long)]
    version: PolicyVersion,
    /// Only for this tenant; may be repeated [default: for all]
    #[arg(long = "tenant", value_name = "TENANT")]
    tenants: Vec<String>,
    /// Where to put the signature: a DSSE envelope
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

impl KeyCommand {
    pub(super) fn run(self, json: bool) -> Result<Answer, Error> {
        match self {
            Self::New { file } => {
                let key = SigningKey::generate(&SystemRandomness)?;
                key.write_new(&file)?;
                shown(key.public(), json)
            }
            Self::Show { file } => {
                let pem = read(&file, LONGEST_KEY)?;
                match PublicKey::from_pem(&pem) {
                    Ok(key) => shown(&key, json),
                    Err(_) => shown(SigningKey::read(&file)?.public(), json),
                }
            }
        }
    }
}

/// What stands before the key in PEM is passed over by whoever reads it.
fn shown(key: &PublicKey, json: bool) -> Result<Answer, Error> {
    let (id, public_key) = (key.id().as_str(), key.to_pem());
    if json {
        return Ok(Answer::ok(render::json(&serde_json::json!({ "id": id, "public_key": public_key }))?));
    }
    Ok(Answer::ok(format!("key {id}\n{public_key}")))
}

impl Sign {
    pub(super) fn run(self, json: bool) -> Result<Answer, Error> {
        let component = read(&self.file, ShapeLimits::default().component_bytes)?;
        let tenants = match self.tenants.as_slice() {
            [] => TenantScope::Any,
            tenants => TenantScope::from_texts(tenants.iter().map(String::as_str))
                .map_err(|error| Error::Usage(format!("--tenant: {error}")))?,
        };
        let key = SigningKey::read(&self.key)?;
        let (digest, said) = (PolicyDigest::of(&component), tenants.to_string());
        let Self { name, version, output, .. } = self;
        let signed = format!("{name}@{version}");
        let statement = Statement { digest: digest.clone(), name, version, abi: ABI.to_owned(), tenants };
        let envelope = Envelope::sign(&statement, &key).to_json() + "\n";
        std::fs::write(&output, envelope).map_err(|source| Error::File { path: output.clone(), source })?;
        let id = key.public().id().as_str();
        if json {
            let said = serde_json::json!({ "policy": signed, "digest": digest.as_str(), "key": id, "tenants": said });
            return Ok(Answer::ok(render::json(&said)?));
        }
        Ok(Answer::ok(format!("signed {signed} for {said}\n  component {digest}\n  key       {id}\n")))
    }
}

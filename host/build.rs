//! Builds the default policy, and collects the templates of new ones, to embed them into the host.

#![allow(clippy::disallowed_methods, reason = "cargo speaks to a build script through its environment")]

use std::env;
use std::error::Error;
use std::path::Path;

#[path = "build/nested_cargo.rs"]
mod nested_cargo;
#[path = "build/templates.rs"]
mod templates;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("..").canonicalize()?;
    println!("cargo::rerun-if-changed=build");
    let policy = nested_cargo::component(&root, "rtmanager-guest", &["guest/src", "guest/Cargo.toml"])?;
    templates::collect(&root)?;
    println!("cargo::rustc-env=DEFAULT_POLICY_WASM={}", policy.display());
    Ok(())
}

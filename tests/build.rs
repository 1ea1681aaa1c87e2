//! Builds the policies that the tests run, and gives their paths to `src/fixtures.rs`.

#![allow(clippy::disallowed_methods, reason = "cargo speaks to a build script through its environment")]

use std::env;
use std::error::Error;
use std::path::Path;

#[path = "build/c_policy.rs"]
mod c_policy;
#[path = "build/malformed.rs"]
mod malformed;
#[path = "../host/build/nested_cargo.rs"]
mod nested_cargo;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("..").canonicalize()?;
    for script in ["build", "../host/build"] {
        println!("cargo::rerun-if-changed={script}");
    }
    let hostile = nested_cargo::component(&root, "hostile-policy", &["tests/fixtures/hostile"])?;
    println!("cargo::rustc-env=HOSTILE_POLICY_WASM={}", hostile.display());
    let c_policy = c_policy::component(&root)?;
    println!("cargo::rustc-env=C_POLICY_WASM={}", c_policy.display());
    malformed::components(&root, &Path::new(&env::var("OUT_DIR")?).join("malformed"))?;
    Ok(())
}

//! rtmanager: removes the stopped containers of a platform's runtimes, by the word of a sandboxed policy.
//!
//! The modules in reading order: what it talks about ([`model`], [`ownership`]), what it needs ([`ports`]), who supplies
//! it ([`adapters`], engines under guard: [`guarded`]), the rules of one run ([`session`]), the sandbox ([`runtime`]), how
//! components come into it ([`compiler`], [`admission`]), which policy serves whom ([`registry`]), one run from request to
//! result ([`lifecycle`]), who calls it ([`sweeper`], [`reconciler`], [`api`], [`cli`]), and what it leaves to be closed
//! ([`recovery`]).
//!
//! Around that: who may do what ([`access`]), what operators order ([`orders`]), what people do with policies
//! ([`policies`]), who vouches for them ([`signing`]), where they are fetched ([`distribution`]), and what they are put
//! through ([`simulation`], [`scenario`]). [`app`] puts it all together.

pub mod model;
pub mod ownership;
pub mod ports;
mod private_file;

pub mod access;

pub mod adapters;

pub mod guarded;

pub mod session;

pub mod runtime;

pub mod compiler;

pub mod admission;

pub mod registry;

pub mod lifecycle;

pub mod journals;

pub mod distribution;
pub mod policies;
pub mod signing;

pub mod explain;
pub mod orders;
pub mod reconciler;
pub mod recovery;
pub mod replay;
pub mod scenario;
pub mod simulation;
pub mod sweeper;

pub mod api;
pub mod views;

pub mod config;
pub mod metrics;
pub mod telemetry;

pub mod app;
pub mod cli;

//! A site at which policies are pushed and bound.

use rtmanager::adapters::memory::SeededRandomness;
use rtmanager::model::{PolicyDigest, PolicyScope, Serving, Timestamp};
use rtmanager::policies::ABI;
use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager::signing::{Envelope, SigningKey, Statement, TenantScope};
use rtmanager_tests::bombs::many_sections;
use serde_json::{Value, json};

use super::site::{NOW, Site};
use rtmanager_tests::http::Answer;

pub const ACME: &str = "/api/v1/tenants/acme/policy";

/// The default policy, as another component for each number.
pub fn component(number: usize) -> Vec<u8> {
    many_sections(DEFAULT_POLICY, number)
}

pub fn digest(component: &[u8]) -> String {
    PolicyDigest::of(component).to_string()
}

impl Site {
    pub async fn push(&self, label: &str, component: &[u8]) -> Answer {
        self.client.upload(&format!("/api/v1/policies?{label}"), "application/wasm", &[], component).await
    }

    /// Pushes component N as version 1.N.0 of `keep`, for each number.
    pub async fn with_versions(&self, numbers: &[usize]) {
        for number in numbers {
            let pushed = self.push(&format!("name=keep&version=1.{number}.0"), &component(*number)).await;
            assert_eq!(pushed.status, 201, "{pushed:?}");
        }
    }

    /// Binds acme to version 1.N.0.
    pub async fn bind(&self, number: usize, more: Value) -> Answer {
        self.client.put(ACME, &order(number, more)).await
    }

    /// The same, which is to succeed.
    pub async fn bound(&self, numbers: &[usize]) {
        for number in numbers {
            let bound = self.bind(*number, json!({})).await;
            assert_eq!(bound.status, 200, "{bound:?}");
        }
    }

    pub async fn serving(&self) -> Value {
        self.client.get(ACME).await.json()["current"]["generation"].clone()
    }

    /// A host that says that it serves this, and is ready for those.
    pub async fn host_says(&self, replica: &str, scope: &str, ready: &[u64], problem: Option<&str>) {
        let scope: PolicyScope = scope.parse().unwrap();
        let generation = format!("{scope}/file-0123456789abcdef").parse().unwrap();
        let (replica, problem) = (replica.to_owned(), problem.map(str::to_owned));
        let at = Timestamp::from_micros(NOW);
        let serving = Serving { replica, scope, generation, ready: ready.to_vec(), problem, at };
        self.store.generations().report(&serving).await.unwrap();
    }
}

pub fn order(number: usize, more: Value) -> Value {
    let mut order = json!({ "policy": format!("keep@1.{number}.0"), "reason": "ticket 812", "wait_ms": 0 });
    order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    order
}

pub fn key(seed: u64) -> SigningKey {
    SigningKey::generate(&SeededRandomness::new(seed)).unwrap()
}

/// What a key says of version 1.N.0 of `keep`.
pub fn envelope(number: usize, key: &SigningKey, tenants: TenantScope) -> Value {
    let statement = Statement {
        digest: PolicyDigest::of(&component(number)),
        name: "keep".parse().unwrap(),
        version: format!("1.{number}.0").parse().unwrap(),
        abi: ABI.to_owned(),
        tenants,
    };
    serde_json::from_str(&Envelope::sign(&statement, key).to_json()).unwrap()
}

/// Without what differs from run to run.
pub fn steady(mut body: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let is_odd = matches!(
                        name.as_str(),
                        "policy_digest" | "digest" | "size" | "request_id" | "actor" | "pushed_by"
                    );
                    if is_odd { *member = json!("…") } else { walk(member) }
                }
            }
            Value::Array(members) => members.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut body);
    body
}

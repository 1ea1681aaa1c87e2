//! Redis as it is set up to survive a server, and behind TLS.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rtmanager::adapters::redis::{RedisEndpoint, RedisOptions};

use super::{RedisServer, Yard, endpoint, free_port, options, text};

/// A master, its replica, and one sentinel whose word is enough for a failover.
pub struct Sentinels {
    /// Takes writes at first.
    pub master: RedisServer,
    /// Takes over.
    pub replica: RedisServer,
    sentinel: RedisServer,
}

/// The name of the sentinel's master.
const MASTER: &str = "games";

impl Sentinels {
    /// Starts them and waits until the sentinel knows the replica.
    pub fn start() -> Self {
        let yard = Yard::new();
        let master = RedisServer::start_in(yard.clone(), "master", free_port(), &["--repl-diskless-sync-delay", "0"]);
        let of = ["--replicaof", "127.0.0.1", &master.port().to_string()];
        let replica = RedisServer::start_in(yard.clone(), "replica", free_port(), &of);
        replica.wait_until(&["INFO", "replication"], "master_link_status:up");
        let sentinel = sentinel(yard, master.port());
        sentinel.wait_until(&["SENTINEL", "REPLICAS", MASTER], "runid");
        sentinel.wait_until(&["SENTINEL", "REPLICAS", MASTER], "ok");
        Self { master, replica, sentinel }
    }

    /// Where leases are, as the sentinel tells.
    pub fn endpoint(&self) -> RedisEndpoint {
        // The first sentinel is not there.
        endpoint(&format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{}/{MASTER}", self.sentinel.port()))
    }

    /// Has the sentinel make the replica the master, as for the other one's maintenance, which becomes a replica.
    pub fn fail_over(&self) {
        self.sentinel.wait_until(&["SENTINEL", "FAILOVER", MASTER], "OK");
        self.wait_for_failover();
        self.master.wait_until(&["ROLE"], "slave");
    }

    /// Waits until the replica has taken over from the dead master.
    pub fn wait_for_failover(&self) {
        self.replica.wait_until(&["ROLE"], "master");
        let port = format!("port\n{}", self.replica.port());
        self.sentinel.wait_until(&["SENTINEL", "MASTERS"], &port);
    }
}

fn sentinel(yard: Arc<Yard>, master: u16) -> RedisServer {
    let config = yard.dir.join("sentinel.conf");
    let lines = format!(
        "sentinel monitor {MASTER} 127.0.0.1 {master} 1\n\
         sentinel down-after-milliseconds {MASTER} 500\n\
         sentinel failover-timeout {MASTER} 5000\n"
    );
    std::fs::write(&config, lines).unwrap();
    // A sentinel wants its file first, so it is launched here, and not as a server is.
    let mut server =
        RedisServer { yard, name: "sentinel".to_owned(), port: free_port(), arguments: Vec::new(), process: None };
    let launched = Command::new("redis-server")
        .arg(&config)
        .args(["--sentinel", "--bind", "127.0.0.1", "--port", &server.port.to_string()])
        .args(["--unixsocket", &text(&server.path("sock")), "--dir", &text(&server.yard.dir)])
        .args(["--pidfile", &text(&server.path("pid")), "--logfile", &text(&server.path("log"))])
        .process_group(0)
        .stdin(Stdio::null())
        .spawn();
    server.process = Some(launched.unwrap());
    server.wait_until(&["PING"], "PONG");
    server
}

/// A cluster of three masters.
pub struct Cluster {
    /// All are masters.
    pub nodes: Vec<RedisServer>,
}

impl Cluster {
    /// Starts it and waits until every node knows that all slots are served.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with more arguments for each node.
    pub fn start_with(arguments: &[&str]) -> Self {
        let yard = Yard::new();
        let nodes: Vec<_> = (1..=3).map(|number| node(yard.clone(), number, arguments)).collect();
        let addresses = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port()));
        let made = Command::new("redis-cli").args(["--cluster", "create", "--cluster-yes"]).args(addresses).output();
        let made = made.expect("redis-cli to be installed (Debian: redis-tools)");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        let this = Self { nodes };
        this.wait_until_ok();
        this
    }

    /// Waits until every node says that the cluster is well.
    pub fn wait_until_ok(&self) {
        for node in &self.nodes {
            node.wait_until(&["CLUSTER", "INFO"], "cluster_state:ok");
            node.wait_until(&["CLUSTER", "INFO"], "cluster_known_nodes:3");
        }
    }

    /// The cluster by two of its nodes.
    pub fn endpoint(&self) -> RedisEndpoint {
        let nodes: Vec<_> = self.nodes.iter().take(2).map(|node| format!("127.0.0.1:{}", node.port())).collect();
        endpoint(&format!("redis+cluster://{}", nodes.join(",")))
    }

    /// Moves slots from one node to another, keys and all.
    pub fn move_slots(&self, from: usize, to: usize, count: u32) {
        let id = |node: usize| self.nodes[node].ask(&["CLUSTER", "MYID"]);
        let moved = Command::new("redis-cli")
            .args(["--cluster", "reshard", &format!("127.0.0.1:{}", self.nodes[from].port())])
            .args(["--cluster-from", &id(from), "--cluster-to", &id(to)])
            .args(["--cluster-slots", &count.to_string(), "--cluster-yes"])
            .output()
            .unwrap();
        assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stdout));
    }
}

fn node(yard: Arc<Yard>, number: u32, arguments: &[&str]) -> RedisServer {
    let (name, bus) = (format!("node{number}"), free_port().to_string());
    let file = format!("{name}.conf");
    let cluster = ["--cluster-enabled", "yes", "--cluster-config-file", &file, "--cluster-port", &bus];
    let timeout = ["--cluster-node-timeout", "1000"];
    RedisServer::start_in(yard, &name, free_port(), &[cluster.as_slice(), timeout.as_slice(), arguments].concat())
}

/// A server behind TLS, with certificates made anew.
pub struct Tls {
    /// The server. Its socket is plain.
    pub server: RedisServer,
    port: u16,
}

impl Tls {
    /// Starts it.
    pub fn start() -> Self {
        let (yard, port) = (Yard::new(), free_port());
        let at = |name: &str| text(&yard.dir.join(name));
        certify(&at("ca.pem"), &at("cert.pem"), &at("key.pem"));
        certify(&at("other-ca.pem"), &at("other-cert.pem"), &at("other-key.pem"));
        let arguments = [
            ["--tls-port", &port.to_string()],
            ["--tls-cert-file", &at("cert.pem")],
            ["--tls-key-file", &at("key.pem")],
            ["--tls-ca-cert-file", &at("ca.pem")],
            ["--tls-auth-clients", "no"],
        ];
        Self { server: RedisServer::start_in(yard.clone(), "redis", 0, &arguments.concat()), port }
    }

    /// The server by TLS.
    pub fn endpoint(&self) -> RedisEndpoint {
        endpoint(&format!("rediss://127.0.0.1:{}", self.port))
    }

    /// Options that trust the authority of this name: `ca.pem` is the server's.
    pub fn trusting(&self, name: &str) -> RedisOptions {
        RedisOptions { ca_certificate: Some(self.server.file(name)), ..options() }
    }
}

fn certify(ca_file: &str, certificate_file: &str, key_file: &str) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(ca_file, ca.pem()).unwrap();
    std::fs::write(certificate_file, params.signed_by(&key, &ca).unwrap().pem()).unwrap();
    std::fs::write(key_file, key.serialize_pem()).unwrap();
}

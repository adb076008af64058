//! What stands before the replicas: nginx, round robin, without stickiness.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::child::Child;
use crate::loopback;
use crate::patience::until;

/// A proxy whose address is known before what it leads to.
#[derive(Debug)]
pub struct Nginx {
    directory: TempDir,
    address: SocketAddr,
    server: Option<Child>,
}

impl Nginx {
    /// A place for nginx, which does not listen yet.
    #[must_use]
    pub fn absent() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), address: loopback::socket_address(), server: None }
    }

    /// Where it listens, or will.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to pass requests on: what the platform pushes to `callbacks`, everything else to `gateways`.
    pub async fn start(&mut self, gateways: &[SocketAddr], callbacks: &[SocketAddr]) {
        self.start_with(&proxy(self.address, gateways, callbacks)).await;
    }

    /// Begins to do what the test says, which is what belongs into `http { }`; one of its servers listens on
    /// [`Self::address`].
    pub async fn start_with(&mut self, http: &str) {
        let directory = self.directory.path();
        let path = directory.join("nginx.conf");
        std::fs::write(&path, configuration(directory, http)).unwrap();
        let server = Child::start(executable(), |command| {
            command.arg("-c").arg(&path).arg("-p").arg(directory).arg("-e").arg(directory.join("error.log"));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        });
        let server = self.server.insert(server);
        until("nginx to listen", async || {
            assert!(
                server.is_running(),
                "nginx ended: {:?}",
                std::fs::read_to_string(directory.join("error.log"))
            );
            TcpStream::connect(self.address).await.is_ok()
        })
        .await;
    }
}

/// Debian keeps it where only root's PATH leads.
fn executable() -> PathBuf {
    let usual = PathBuf::from("/usr/sbin/nginx");
    if usual.exists() { usual } else { "nginx".into() }
}

fn configuration(directory: &Path, http: &str) -> String {
    let directory = directory.display();
    format!(
        "daemon off; master_process off; pid {directory}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {http}
}}
"
    )
}

fn proxy(address: SocketAddr, gateways: &[SocketAddr], callbacks: &[SocketAddr]) -> String {
    let servers = |replicas: &[SocketAddr]| -> String {
        // A replica is asked again at once after it failed: tests kill and restart them.
        replicas.iter().map(|replica| format!("server {replica} max_fails=0;")).collect()
    };
    let (gateways, callbacks) = (servers(gateways), servers(callbacks));
    format!(
        "map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    upstream gateways {{ {gateways} }}
    upstream callbacks {{ {callbacks} }}
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_connect_timeout 2s;
    proxy_read_timeout 60s;
    server {{
        listen {address};
        location / {{ proxy_pass http://gateways; }}
        location /wechat/ {{ proxy_pass http://callbacks; }}
    }}"
    )
}

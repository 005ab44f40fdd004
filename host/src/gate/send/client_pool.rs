//! HTTP clients with pooled connections, one client per list of allowed address ranges.
//!
//! Only this list decides which addresses a name may lead to. Owners with the same list may share
//! connections. Owners with different lists must not: one could reuse a connection that only the
//! other may open. The clients use no proxy, redirects, retries, decompression or cookies.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use parking_lot::Mutex;
use reqwest::{Certificate, Client, redirect, retry};

use super::dns::{CheckedResolver, NameResolver};
use crate::gate::error::GateError;
use crate::gate::settings::GateSettings;

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(90);

pub struct ClientPool {
    names: NameResolver,
    connect_timeout: Duration,
    max_pools: usize,
    authorities: Vec<Certificate>,
    clients: Mutex<Clients>,
}

#[derive(Default)]
struct Clients {
    by_ranges: HashMap<Vec<IpNet>, (u64, Client)>,
    uses: u64,
}

impl ClientPool {
    /// Fails if the additional authorities are unusable.
    pub fn new(settings: &GateSettings) -> Result<Self, GateError> {
        let pool = Self {
            names: NameResolver::new(&settings.nameservers),
            connect_timeout: Duration::from_millis(settings.connect_timeout_ms),
            max_pools: settings.max_pools.max(1),
            authorities: settings
                .extra_ca_file
                .as_deref()
                .map_or_else(|| Ok(Vec::new()), authorities)?,
            clients: Mutex::default(),
        };
        if let Some(path) = &settings.extra_ca_file {
            // Building a client parses the certificates. The host should fail at startup, not at
            // the first request.
            pool.build(Arc::from([]))
                .map_err(|error| unusable(path, &error))?;
        }
        Ok(pool)
    }

    /// The client for a list of ranges. Above the allowed number, the least recently used one is
    /// dropped.
    pub fn client(&self, allowed: &[IpNet]) -> Result<Client, reqwest::Error> {
        let mut ranges = allowed.to_vec();
        ranges.sort_unstable();
        ranges.dedup();
        let mut clients = self.clients.lock();
        clients.uses += 1;
        let now = clients.uses;
        if let Some((used, client)) = clients.by_ranges.get_mut(&ranges) {
            *used = now;
            return Ok(client.clone());
        }
        let client = self.build(ranges.as_slice().into())?;
        if clients.by_ranges.len() >= self.max_pools
            && let Some(oldest) = clients
                .by_ranges
                .iter()
                .min_by_key(|(_, (used, _))| *used)
                .map(|(r, _)| r.clone())
        {
            clients.by_ranges.remove(&oldest);
        }
        clients.by_ranges.insert(ranges, (now, client.clone()));
        Ok(client)
    }

    fn build(&self, allowed: Arc<[IpNet]>) -> Result<Client, reqwest::Error> {
        Client::builder()
            .user_agent(concat!("egression/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(CheckedResolver::new(self.names.clone(), allowed))
            .retry(retry::never())
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .no_gzip()
            .tcp_nodelay(true)
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(IDLE)
            .tls_certs_merge(self.authorities.iter().cloned())
            .build()
    }
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, GateError> {
    let text = std::fs::read(path).map_err(|error| unusable(path, &error))?;
    let authorities =
        Certificate::from_pem_bundle(&text).map_err(|error| unusable(path, &error))?;
    if authorities.is_empty() {
        return Err(GateError::Authorities {
            path: path.to_owned(),
            reason: "the file contains no PEM certificate".to_owned(),
        });
    }
    Ok(authorities)
}

fn unusable(path: &Path, error: &dyn std::error::Error) -> GateError {
    let cause = error
        .source()
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    GateError::Authorities {
        path: path.to_owned(),
        reason: format!("{error}{cause}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clients_are_shared_by_equal_ranges_and_bounded() {
        let pool = ClientPool::new(&GateSettings {
            max_pools: 2,
            ..GateSettings::default()
        })
        .unwrap();
        let ranges = |texts: &[&str]| {
            texts
                .iter()
                .map(|t| t.parse().unwrap())
                .collect::<Vec<IpNet>>()
        };
        pool.client(&ranges(&["127.0.0.1/32", "10.0.0.0/8"]))
            .unwrap();
        pool.client(&ranges(&["10.0.0.0/8", "127.0.0.1/32"]))
            .unwrap();
        assert_eq!(pool.clients.lock().by_ranges.len(), 1);
        pool.client(&[]).unwrap();
        pool.client(&ranges(&["10.0.0.0/8", "127.0.0.1/32"]))
            .unwrap();
        pool.client(&ranges(&["10.0.0.0/8"])).unwrap();
        let clients = pool.clients.lock();
        assert_eq!(clients.by_ranges.len(), 2);
        assert!(!clients.by_ranges.contains_key(&Vec::new()));
    }
}

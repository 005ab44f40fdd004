//! Resolves names to addresses that may be dialed. The check sits between lookup and dial, so the
//! gate connects to exactly the address it checked. A lookup serves one dial only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::gate::policy::address;

#[derive(Clone)]
pub struct NameResolver {
    resolver: Arc<Result<TokioResolver, String>>,
}

impl NameResolver {
    /// Uses `nameservers`, or those of the system if the list is empty.
    pub fn new(nameservers: &[SocketAddr]) -> Self {
        Self {
            resolver: Arc::new(build(nameservers).map_err(|e| e.to_string())),
        }
    }

    /// The addresses of a name. `localhost` and its subdomains are never looked up (RFC 6761, 6.3).
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let bare = name.trim_end_matches('.').to_ascii_lowercase();
        if bare == "localhost" || bare.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let resolver = self
            .resolver
            .as_ref()
            .as_ref()
            .map_err(|e| format!("no name server: {e}"))?;
        // A lookup serves one dial. The options disable the cache; this makes it certain.
        resolver.clear_cache();
        let found = resolver.lookup_ip(name).await.map_err(|e| e.to_string())?;
        Ok(found.iter().collect())
    }
}

fn build(nameservers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if nameservers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = nameservers.iter().map(|&at| name_server(at)).collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = 0;
    options.positive_max_ttl = Some(Duration::ZERO);
    options.negative_max_ttl = Some(Duration::ZERO);
    builder.build()
}

fn name_server(at: SocketAddr) -> NameServerConfig {
    let mut udp = ConnectionConfig::udp();
    udp.port = at.port();
    let mut tcp = ConnectionConfig::tcp();
    tcp.port = at.port();
    NameServerConfig::new(at.ip(), true, vec![udp, tcp])
}

/// Resolves names for one list of allowed ranges.
pub struct CheckedResolver {
    names: NameResolver,
    allowed: Arc<[IpNet]>,
}

impl CheckedResolver {
    pub fn new(names: NameResolver, allowed: Arc<[IpNet]>) -> Self {
        Self { names, allowed }
    }
}

impl Resolve for CheckedResolver {
    /// Fails with [`address::AddressRefused`] if the name has addresses and none may be dialed.
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.names.clone();
        let allowed = Arc::clone(&self.allowed);
        Box::pin(async move {
            let found = names
                .addresses(name.as_str())
                .await
                .map_err(|e| format!("{}: {e}", name.as_str()))?;
            let open = address::filter(&found, &allowed)?;
            if open.is_empty() {
                return Err(format!("{} has no address", name.as_str()).into());
            }
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

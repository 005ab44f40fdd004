//! Counts the open connections, in all and per address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use super::connection_bounds::ConnectionBounds;
use crate::telemetry::metrics;

/// A bound that a connection would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    All,
    PerAddress,
}

impl Exceeded {
    /// The name of the setting.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::All => "api.max_connections",
            Self::PerAddress => "api.max_connections_per_address",
        }
    }

    /// The label of the metric.
    pub const fn label(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::PerAddress => "address",
        }
    }
}

pub struct ConnectionSlots {
    bounds: ConnectionBounds,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: u32,
    by_client: HashMap<IpAddr, u32>,
}

/// One open connection; dropping it closes the account.
pub struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    client: IpAddr,
}

impl ConnectionSlots {
    pub fn new(bounds: ConnectionBounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            open: Mutex::default(),
        })
    }

    pub fn take(self: &Arc<Self>, address: IpAddr) -> Result<ConnectionSlot, Exceeded> {
        let client = client(address);
        let mut open = self.open.lock();
        if open.all >= self.bounds.max {
            return Err(Exceeded::All);
        }
        let of_client = open.by_client.entry(client).or_default();
        if *of_client >= self.bounds.max_per_address {
            return Err(Exceeded::PerAddress);
        }
        *of_client += 1;
        open.all += 1;
        metrics::connection_opened();
        Ok(ConnectionSlot {
            slots: Arc::clone(self),
            client,
        })
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut open = self.slots.open.lock();
        open.all -= 1;
        if let Some(of_client) = open.by_client.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                open.by_client.remove(&self.client);
            }
        }
        metrics::connection_closed();
    }
}

/// What counts as one client: an IPv4 address, or the /64 network that one IPv6 host gets (RFC
/// 6177).
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        address => address,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_bounded_in_all_and_per_client_and_return_when_dropped() {
        let slots = ConnectionSlots::new(ConnectionBounds {
            max: 3,
            max_per_address: 2,
            head_timeout_ms: 1,
            idle_timeout_ms: 1,
        });
        let take = |address: &str| slots.take(address.parse().unwrap());
        let first = take("::ffff:127.0.0.1").unwrap();
        let _second = take("127.0.0.1").unwrap();
        assert_eq!(take("127.0.0.1").err(), Some(Exceeded::PerAddress));
        let third = take("2001:db8::1").unwrap();
        assert_eq!(take("192.0.2.1").err(), Some(Exceeded::All));
        drop(first);
        let fourth = take("2001:db8:0:0:ffff::2").unwrap();
        drop(third);
        let _fifth = take("2001:db8::3").unwrap();
        drop(fourth);
        let _sixth = take("2001:db8::4").unwrap();
        assert_eq!(take("2001:db8::5").err(), Some(Exceeded::All));
        assert_eq!(slots.open.lock().by_client.len(), 2);
    }
}

//! The destination's limits, as the gate would keep them: acquired when a call is sent, and
//! forecast when it is admitted.

use std::collections::BTreeMap;

use egression_core::domain::ids::ConnectionId;
use egression_core::scheduler::LimitForecast;
use egression_core::scheduler::limits::{
    Acquisition, Charge, Guard, LimitBook, LimitKey, LimitKind,
};
use egression_core::time::Mono;

/// How far admission looks ahead.
const HORIZON_MS: u64 = 200;

#[derive(Debug, Default)]
pub(crate) struct Destination {
    book: LimitBook,
    bound: BTreeMap<ConnectionId, Vec<LimitKey>>,
    reserved: BTreeMap<ConnectionId, u32>,
}

impl Destination {
    pub(crate) fn bind(&mut self, connection: ConnectionId, limits: &[(&str, LimitKind)]) {
        for (name, kind) in limits {
            self.book
                .define(LimitKey::new(*name), *kind, Guard::default(), Mono(0));
        }
        self.bound.insert(
            connection,
            limits
                .iter()
                .map(|(name, _)| LimitKey::new(*name))
                .collect(),
        );
    }

    pub(crate) fn reserve(&mut self, connection: ConnectionId) {
        *self.reserved.entry(connection).or_default() += 1;
    }

    pub(crate) fn free(&mut self, connection: ConnectionId) {
        let reserved = self.reserved.entry(connection).or_default();
        *reserved = reserved.saturating_sub(1);
    }

    /// Acquires a request. The error is the instant to wait for; `FAR`: only the end of another
    /// request helps.
    pub(crate) fn acquire(
        &mut self,
        connection: ConnectionId,
        now: Mono,
    ) -> Result<Acquisition, Mono> {
        let keys = self.bound[&connection].iter().cloned();
        let charges: Vec<Charge> = keys.map(Charge::one).collect();
        self.book
            .try_acquire(&charges, now)
            .map_err(|refusal| refusal.until)
    }

    pub(crate) fn finish(&mut self, draw: Acquisition, now: Mono) {
        self.book.release(draw, now);
    }

    pub(crate) fn throttle(&mut self, connection: ConnectionId, until: Mono) {
        if let Some(key) = self.bound[&connection].first() {
            self.book.close(key.clone(), until);
        }
    }

    pub(crate) fn restart(&mut self) {
        self.reserved.clear();
    }
}

impl LimitForecast for Destination {
    fn headroom(&self, connection: ConnectionId, now: Mono) -> (u32, Option<(String, Mono)>) {
        let keys = &self.bound[&connection];
        let headroom = self.book.headroom(keys, now, HORIZON_MS);
        let shared = self
            .bound
            .iter()
            .filter(|(_, other)| other.iter().any(|key| keys.contains(key)));
        let reserved: u32 = shared.filter_map(|(id, _)| self.reserved.get(id)).sum();
        (
            headroom.units.saturating_sub(reserved),
            headroom.until.map(|(key, until)| (key.to_string(), until)),
        )
    }
}

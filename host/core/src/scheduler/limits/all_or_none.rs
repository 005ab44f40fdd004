//! The one place where a request acquires its limits: all of them at once, or none.

use super::book::LimitBook;
use super::kind::{Charge, LimitKey};
use crate::time::Mono;

/// One request, admitted by all its limits. Give it to [`LimitBook::release`] once it is answered.
#[derive(Debug)]
#[must_use = "it holds its slots of concurrency limits until it is released"]
pub struct Acquisition {
    pub at: Mono,
    /// Its charges, with the generations of their limits.
    from: Vec<(Charge, u64)>,
}

/// At least one limit has no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The earliest instant at which all could admit if nothing else is acquired. [`Mono::FAR`]:
    /// only the end of a running request or a new definition helps.
    pub until: Mono,
    /// The limit that opens last.
    pub key: LimitKey,
}

/// How much could be acquired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// Requests of one unit; for a limit that counts a cost, its units.
    pub units: u32,
    /// Only if that is 0: the limit that opens last, and when, as in [`Refusal`].
    pub until: Option<(LimitKey, Mono)>,
}

impl LimitBook {
    /// Admits one request with its costs: all of `charges` or none. If a key is given twice, the
    /// first charge counts.
    ///
    /// # Errors
    /// If a limit has no room or is closed, with the instant at which all could admit. This is
    /// never for a request that costs more than a limit ever admits ([`Self::exceeds`]).
    pub fn try_acquire(&mut self, charges: &[Charge], now: Mono) -> Result<Acquisition, Refusal> {
        let now = self.pass(now);
        if let Some(refusal) = self.refusal(charges, now) {
            return Err(refusal);
        }
        Ok(self.take(charges, now))
    }

    /// The same for a check whether closed limits may reopen: it passes them.
    pub fn try_acquire_for_check(
        &mut self,
        charges: &[Charge],
        now: Mono,
    ) -> Result<Acquisition, Refusal> {
        let now = self.pass(now);
        match self.refusal_of_check(charges, now) {
            Some(refusal) => Err(refusal),
            None => Ok(self.take(charges, now)),
        }
    }

    fn take(&mut self, charges: &[Charge], now: Mono) -> Acquisition {
        let mut from = Vec::with_capacity(charges.len());
        for (i, charge) in charges.iter().enumerate() {
            if charges[..i].iter().any(|earlier| earlier.key == charge.key) {
                continue;
            }
            if let Some(entry) = self.limits.get_mut(&charge.key) {
                entry.limit.acquire(now, units_of(charge));
                from.push((charge.clone(), entry.generation));
            }
        }
        Acquisition { at: now, from }
    }

    /// Why such a request is not admitted now; `None`: it is.
    pub fn refusal(&self, charges: &[Charge], now: Mono) -> Option<Refusal> {
        let now = now.max(self.latest);
        let wanted = charges.iter().map(|charge| (&charge.key, units_of(charge)));
        self.last_to_open(wanted, now)
            .map(|(key, until)| Refusal { until, key })
    }

    /// Why such a check, which passes closed limits, is not admitted now.
    pub fn refusal_of_check(&self, charges: &[Charge], now: Mono) -> Option<Refusal> {
        let now = now.max(self.latest);
        let (key, until) = charges
            .iter()
            .map(|charge| (&charge.key, self.room(&charge.key, units_of(charge), now)))
            .max_by_key(|(_, until)| *until)?;
        (until > now).then(|| Refusal {
            until,
            key: key.clone(),
        })
    }

    /// When the limit has room, closed or not.
    fn room(&self, key: &LimitKey, units: u64, now: Mono) -> Mono {
        self.limits
            .get(key)
            .map_or(now, |entry| entry.limit.ready(now, units))
    }

    /// The most units that one request can ever take of a limit.
    pub fn most(&self, key: &LimitKey) -> u64 {
        self.limits
            .get(key)
            .map_or(u64::MAX, |entry| entry.limit.most())
    }

    /// The first of these limits that never admits so much at once, and the most that it does.
    pub fn exceeds<'a>(&self, charges: &'a [Charge]) -> Option<(&'a Charge, u64)> {
        charges
            .iter()
            .map(|charge| (charge, self.most(&charge.key)))
            .find(|(charge, most)| units_of(charge) > *most)
    }

    /// Ends a request at `now`: its slots are free again, and it counts as arrived.
    pub fn release(&mut self, acquired: Acquisition, now: Mono) {
        let now = self.pass(now);
        for (charge, generation) in acquired.from {
            if let Some(entry) = self
                .limits
                .get_mut(&charge.key)
                .filter(|e| e.generation == generation)
            {
                entry.limit.answered(acquired.at, now, units_of(&charge));
            }
        }
    }

    /// How many requests of one unit could be acquired up to `now + horizon_ms`, each limit taken
    /// separately. This forecast is never too small for limits of rate (a bucket gives more to one
    /// request of several units, up to its whole burst). Slots in use count as far as they come
    /// free at the recent pace. Work does not grow with the result.
    pub fn headroom(&self, keys: &[LimitKey], now: Mono, horizon_ms: u64) -> Headroom {
        let now = now.max(self.latest);
        let end = now.plus_ms(horizon_ms);
        let open = self.closed(keys, now).map_or(now, |(_, until)| until);
        let free = |key| {
            self.limits
                .get(key)
                .map_or(u64::MAX, |e| e.limit.available(open, end))
        };
        let units = if open > end {
            0
        } else {
            keys.iter().map(free).min().unwrap_or(u64::MAX)
        };
        let until = if units == 0 {
            self.last_to_open(keys.iter().map(|key| (key, 1)), now)
        } else {
            None
        };
        Headroom {
            units: u32::try_from(units).unwrap_or(u32::MAX),
            until,
        }
    }

    /// Whether a concurrency limit among `keys` has no free slot.
    pub fn is_saturated(&self, keys: &[LimitKey]) -> bool {
        keys.iter()
            .any(|key| self.limits.get(key).is_some_and(|e| e.limit.is_saturated()))
    }

    /// The key that admits last, and when, if that is later than now.
    fn last_to_open<'a>(
        &self,
        wanted: impl Iterator<Item = (&'a LimitKey, u64)>,
        now: Mono,
    ) -> Option<(LimitKey, Mono)> {
        let ready = |key: &LimitKey, units: u64| {
            let room = self.room(key, units, now);
            self.closed.get(key).map_or(room, |end| room.max(*end))
        };
        let (key, until) = wanted
            .map(|(key, units)| (key, ready(key, units)))
            .max_by_key(|(_, until)| *until)?;
        (until > now).then(|| (key.clone(), until))
    }
}

fn units_of(charge: &Charge) -> u64 {
    u64::from(charge.units.max(1))
}

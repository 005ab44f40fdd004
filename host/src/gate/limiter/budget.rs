//! The limiter's state: the book of limits, leases of windows, reservations, and usage meters.
//! Pure: callers pass in the time, and tell the store what a method returns.

use std::collections::{HashMap, HashSet};

use egression_core::domain::ids::Owner;
use egression_core::scheduler::limits::{
    Acquisition, Charge, Guard, LimitBook, LimitKey, LimitKind, Refusal, UsageMeter,
};
use egression_core::time::{Mono, WallOffset};

use super::reservations::{Reservation, Reservations, Reserved};
use super::usage::Usage;
use super::waiters::Waiters;
use super::window_leases::{UsedUp, WindowLeases};
use crate::gate::policy::cost::Typical;
use crate::gate::policy::destination::{BoundLimit, Destination};

/// The longest forecast of when a limit has room again, in milliseconds. Later it is asked again.
const LONGEST_FORECAST_MS: u64 = 24 * 3_600_000;
/// A closure is stored again only if it ends this much later than the stored one, so that not every
/// response writes a row.
const CLOSED_AGAIN_AFTER_MS: u64 = 1000;
/// A smaller difference is not a clock step, because the two clocks are read one after the other
/// and wall time has whole milliseconds.
const CLOCK_STEP_MS: u64 = 5;

/// How many requests admission may still plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// Requests that could be sent within the horizon and are not reserved for admitted calls.
    pub calls: u32,
    /// If a limit or its reservations leave none: which limit, and until when ([`Mono::FAR`]: until
    /// a request ends).
    pub until: Option<(String, Mono)>,
}

/// All limits of the host.
pub struct Budget {
    book: LimitBook,
    guard: Guard,
    kinds: HashMap<LimitKey, LimitKind>,
    /// Recent costs of requests, for limits that count a cost.
    typical: HashMap<LimitKey, Typical>,
    /// Limits whose cost some request did not state since they were configured.
    unstated: HashSet<LimitKey>,
    windows: HashMap<LimitKey, WindowLeases>,
    /// Windows of the last run that are not configured yet: uses, and the first free slice number.
    past: HashMap<LimitKey, (Vec<(Mono, u64)>, i64)>,
    reserved: Reservations,
    /// Requests admitted since the start, by limit.
    admitted: HashMap<LimitKey, u64>,
    owners: HashMap<Owner, Ledger>,
    /// Requests that wait for more than one unit.
    pub waiters: Waiters,
    /// How wall time relates to monotonic time. Fixed windows depend on it.
    offset: WallOffset,
}

/// One owner's limits, reservation and meter.
struct Ledger {
    /// The owner's own key is the last.
    keys: Vec<LimitKey>,
    kinds: Vec<LimitKind>,
    /// The indexes of limits that count a cost.
    costing: Vec<usize>,
    unclaimed: Reserved,
    meter: UsageMeter,
}

/// A window, and its slices that a request used up.
pub type WindowUse = (LimitKey, Vec<UsedUp>);

impl Budget {
    pub fn new(guard: Guard) -> Self {
        Self {
            book: LimitBook::default(),
            guard,
            kinds: HashMap::new(),
            typical: HashMap::new(),
            unstated: HashSet::new(),
            windows: HashMap::new(),
            past: HashMap::new(),
            reserved: Reservations::default(),
            admitted: HashMap::new(),
            owners: HashMap::new(),
            waiters: Waiters::default(),
            offset: WallOffset::default(),
        }
    }

    /// Sets how wall time relates to monotonic time now. Returns whether that changed, which may
    /// free capacity.
    pub fn set_wall(&mut self, offset: WallOffset, now: Mono) -> bool {
        if offset.differs_ms(self.offset) < CLOCK_STEP_MS {
            return false;
        }
        self.offset = offset;
        self.book.set_wall(offset);
        for ledger in self.owners.values_mut() {
            ledger.meter.set_wall(now, offset);
        }
        true
    }

    /// Adds a window's use from before the restart, for when the window is configured.
    pub fn remember(&mut self, key: LimitKey, slice: i64, used: Mono, units: u32) {
        let (uses, next) = self.past.entry(key).or_default();
        uses.push((used, u64::from(units)));
        *next = (*next).max(slice + 1);
    }

    /// Replaces all destinations. Unchanged limits keep their state.
    pub fn configure(&mut self, destinations: &[Destination], now: Mono) {
        let mut wanted = HashMap::new();
        for limit in destinations.iter().flat_map(|d| &d.limits) {
            wanted.insert(limit.key.clone(), limit.kind);
        }
        // A removed window stays in the book, so that its uses still count if it returns.
        let gone =
            |(key, kind): &(&LimitKey, &LimitKind)| !wanted.contains_key(*key) && !kind.is_window();
        for (key, _) in self.kinds.iter().filter(gone) {
            self.book.undefine(key);
        }
        for (key, kind) in &wanted {
            self.define(key, *kind, now);
        }
        self.typical.retain(|key, _| wanted.contains_key(key));
        self.unstated.retain(|key| wanted.contains_key(key));
        self.kinds = wanted;
        let gone: Vec<Ledger> = self
            .owners
            .extract_if(|owner, _| !destinations.iter().any(|d| d.owner == *owner))
            .map(|(_, l)| l)
            .collect();
        for ledger in gone {
            // The reservation of calls that are not open yet. An open call returns its own.
            self.reserved.remove(&ledger.keys, ledger.unclaimed);
        }
        let mut longest: HashMap<&LimitKey, u64> = HashMap::new();
        for destination in destinations {
            let own = destination.limits.iter().map(|limit| &limit.key);
            for key in own.chain([&destination.own_key]) {
                let ms = longest.entry(key).or_default();
                *ms = destination.max_retry_after_ms.max(*ms);
            }
        }
        self.admitted.retain(|key, _| longest.contains_key(key));
        for (key, ms) in longest {
            self.book.close_no_longer(key, now.plus_ms(ms));
        }
        for destination in destinations {
            self.configure_owner(destination, now);
        }
    }

    fn define(&mut self, key: &LimitKey, kind: LimitKind, now: Mono) {
        self.book.define(key.clone(), kind, self.guard, now);
        let (LimitKind::Window { max, window_ms } | LimitKind::FixedWindow { max, window_ms, .. }) =
            kind
        else {
            return;
        };
        if let Some(slices) = self.windows.get_mut(key) {
            slices.resize(max, window_ms);
            return;
        }
        let (mut uses, next) = self.past.remove(key).unwrap_or_default();
        uses.sort_unstable();
        self.book.restore_window(key, &uses);
        self.windows
            .insert(key.clone(), WindowLeases::new(max, window_ms, next));
    }

    fn configure_owner(&mut self, destination: &Destination, now: Mono) {
        let kinds: Vec<LimitKind> = destination
            .common_limits()
            .map(|limit| limit.kind)
            .collect();
        let costing: Vec<usize> =
            indexes(destination.common_limits(), |limit| limit.counts.is_some());
        let mut keys: Vec<LimitKey> = destination
            .common_limits()
            .map(|limit| limit.key.clone())
            .collect();
        keys.push(destination.own_key.clone());
        let unclaimed = match self.owners.get_mut(&destination.owner) {
            Some(ledger)
                if ledger.keys == keys && ledger.kinds == kinds && ledger.costing == costing =>
            {
                return;
            }
            Some(ledger) => ledger.unclaimed,
            None => Reserved::default(),
        };
        if let Some(old) = self.owners.remove(&destination.owner) {
            self.reserved.remove(&old.keys, unclaimed);
        }
        self.reserved.add(&keys, unclaimed);
        let mut meter = UsageMeter::new(&kinds, &costing, now, self.offset);
        if let Some((_, until)) = self.book.closed(&keys, now) {
            meter.closed(now, until);
        }
        self.owners.insert(
            destination.owner,
            Ledger {
                keys,
                kinds,
                costing,
                unclaimed,
                meter,
            },
        );
    }

    /// Acquires one request from all of these limits or from none. Returns the windows it used.
    pub fn try_acquire(
        &mut self,
        owner: Owner,
        shares: &[Charge],
        now: Mono,
        passes_closures: bool,
    ) -> Result<(Acquisition, Vec<WindowUse>), Refusal> {
        let draw = if passes_closures {
            self.book.try_acquire_for_check(shares, now)?
        } else {
            self.book.try_acquire(shares, now)?
        };
        let mut used = Vec::new();
        for Charge { key, units } in shares {
            *self.admitted.entry(key.clone()).or_default() += 1;
            if self.is_window(key)
                && let Some(slices) = self.windows.get_mut(key)
            {
                used.push((key.clone(), slices.take(*units)));
            }
        }
        if let Some(ledger) = self.owners.get_mut(&owner) {
            let units: Vec<u32> = ledger
                .keys
                .iter()
                .map(|key| units_of(shares, key))
                .collect();
            ledger.meter.acquired(now, &units);
        }
        self.note_saturation(owner, now);
        Ok((draw, used))
    }

    /// Counts a request's costs for the forecast of others, whether it leaves or not.
    pub fn note_costs(&mut self, owner: Owner, shares: &[Charge]) {
        let Some(ledger) = self.owners.get(&owner) else {
            return;
        };
        for key in ledger
            .costing
            .iter()
            .filter_map(|&index| ledger.keys.get(index))
        {
            let units = units_of(shares, key);
            self.typical
                .entry(key.clone())
                .and_modify(|typical| typical.note(units))
                .or_insert(Typical::first(units));
        }
    }

    pub fn finish(&mut self, owner: Owner, draw: Acquisition, now: Mono) {
        self.book.release(draw, now);
        self.note_saturation(owner, now);
    }

    fn note_saturation(&mut self, owner: Owner, now: Mono) {
        let Some(ledger) = self.owners.get_mut(&owner) else {
            return;
        };
        ledger
            .meter
            .saturated(now, self.book.is_saturated(&ledger.keys));
    }

    /// Closes a limit until then, also for the meters of all owners that share it.
    pub fn close(&mut self, key: &LimitKey, until: Mono, now: Mono) {
        self.book.close(key.clone(), until);
        self.note_closure(key, until, now);
    }

    /// Ends a closure, and forgets what the destination reported about the limit.
    pub fn reopen(&mut self, key: &LimitKey, now: Mono) {
        self.book.reopen(key, now);
        for ledger in self
            .owners
            .values_mut()
            .filter(|ledger| ledger.keys.contains(key))
        {
            let end = self.book.closed(&ledger.keys, now);
            ledger
                .meter
                .reopened(now, end.map_or(now, |(_, until)| until));
        }
    }

    /// Until when a limit is closed.
    pub fn closed(&self, key: &LimitKey, now: Mono) -> Option<Mono> {
        let closed = self.book.closed(std::slice::from_ref(key), now);
        closed.map(|(_, until)| until)
    }

    /// Requests that a limit admitted since the start.
    pub fn admitted(&self, key: &LimitKey) -> u64 {
        self.admitted.get(key).copied().unwrap_or(0)
    }

    fn note_closure(&mut self, key: &LimitKey, until: Mono, now: Mono) {
        for ledger in self
            .owners
            .values_mut()
            .filter(|ledger| ledger.keys.contains(key))
        {
            ledger.meter.closed(now, until);
        }
    }

    /// Applies what the destination says about a limit. Returns until when that closes it, if the
    /// store must know.
    pub fn observe(
        &mut self,
        key: &LimitKey,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset_ms: Option<u64>,
        most_ms: u64,
        now: Mono,
    ) -> Option<Mono> {
        let before = self.book.closed(std::slice::from_ref(key), now);
        self.book
            .observe(key, limit, remaining, reset_ms, most_ms, now);
        let (key, until) = self.book.closed(std::slice::from_ref(key), now)?;
        self.note_closure(&key, until, now);
        before
            .is_none_or(|(_, known)| until > known.plus_ms(CLOSED_AGAIN_AFTER_MS))
            .then_some(until)
    }

    /// The windows among these that have too few leased units.
    pub fn without_units<'a>(&self, shares: &'a [Charge]) -> impl Iterator<Item = &'a Charge> {
        let lacks = |share: &Charge| {
            self.windows
                .get(&share.key)
                .is_some_and(|leases| !leases.has(share.units))
        };
        shares
            .iter()
            .filter(move |share| self.is_window(&share.key) && lacks(share))
    }

    fn is_concurrency(&self, key: &LimitKey) -> bool {
        matches!(self.kinds.get(key), Some(LimitKind::Concurrency { .. }))
    }

    fn is_window(&self, key: &LimitKey) -> bool {
        self.kinds.get(key).is_some_and(LimitKind::is_window)
    }

    /// A request did not state this limit's cost. Returns whether it is the first.
    pub fn is_new_unstated(&mut self, key: &LimitKey) -> bool {
        !self.unstated.contains(key) && self.unstated.insert(key.clone())
    }

    /// The first of these limits that never admits as much at once, and the most that it admits.
    pub fn exceeds<'a>(&self, shares: &'a [Charge]) -> Option<(&'a Charge, u64)> {
        self.book.exceeds(shares)
    }

    pub fn leases(&mut self, key: &LimitKey) -> Option<&mut WindowLeases> {
        self.windows.get_mut(key)
    }

    /// Reserves requests for an admitted call that is not open yet.
    pub fn reserve(&mut self, owner: Owner, requests: u32) {
        let Some(ledger) = self.owners.get_mut(&owner) else {
            return;
        };
        let call = Reserved::call(requests);
        ledger.unclaimed.add(call);
        let keys = ledger.keys.clone();
        self.reserved.add(&keys, call);
    }

    /// Returns the reservation of a call that is not opened after all.
    pub fn unreserve(&mut self, owner: Owner, requests: u32) {
        let Some(ledger) = self.owners.get_mut(&owner) else {
            return;
        };
        let returned = Reserved::call(requests).at_most(ledger.unclaimed);
        ledger.unclaimed.remove(returned);
        let keys = ledger.keys.clone();
        self.reserved.remove(&keys, returned);
    }

    /// Moves the reservation to the opened call, and reserves missing requests now.
    pub fn claim(&mut self, owner: Owner, requests: u32) -> Reservation {
        let Some(ledger) = self.owners.get_mut(&owner) else {
            return Reservation::default();
        };
        let left = Reserved::call(requests);
        let claimed = left.at_most(ledger.unclaimed);
        ledger.unclaimed.remove(claimed);
        let keys = ledger.keys.clone();
        let mut missing = left;
        missing.remove(claimed);
        self.reserved.add(&keys, missing);
        Reservation { keys, left }
    }

    /// A request of the call was sent and needs no reservation any more.
    pub fn spend(&mut self, reservation: &mut Reservation) {
        let sent = Reserved::call(1).at_most(reservation.left);
        reservation.left.remove(sent);
        self.reserved.remove(&reservation.keys, sent);
    }

    /// A call ended. Returns whether its reservation had requests left.
    pub fn release(&mut self, reservation: &mut Reservation) -> bool {
        let left = std::mem::take(&mut reservation.left);
        self.reserved.remove(&reservation.keys, left);
        !left.is_empty()
    }

    /// What admission may still plan for an owner.
    pub fn headroom(&self, owner: Owner, now: Mono, horizon_ms: u64) -> Headroom {
        let mut calls = u32::MAX;
        let mut until: Option<(LimitKey, Mono)> = None;
        let Some(ledger) = self.owners.get(&owner) else {
            return Headroom {
                calls: 0,
                until: None,
            };
        };
        for key in &ledger.keys {
            let room = self
                .book
                .headroom(std::slice::from_ref(key), now, horizon_ms);
            let reserved = self.reserved.of(key);
            let set_aside = if self.is_concurrency(key) {
                reserved.calls
            } else {
                reserved.requests
            };
            let requests = self.requests_in(key, room.units);
            // A request that costs more than the free units is still admitted when it waits for
            // them.
            let alone = if requests == 0 {
                self.alone(key, now)
            } else {
                None
            };
            let requests = if alone.is_some_and(|at| at <= now.plus_ms(horizon_ms)) {
                1
            } else {
                requests
            };
            let left = requests.saturating_sub(set_aside);
            calls = calls.min(left);
            // If all capacity is reserved for admitted calls, the limit has room and is still what
            // delays the owner.
            let taken = || {
                let beyond = || self.beyond(key, set_aside, now, horizon_ms);
                (left == 0).then(|| {
                    (
                        key.clone(),
                        alone.filter(|_| set_aside == 0).unwrap_or_else(beyond),
                    )
                })
            };
            if let Some((key, at)) = room.until.or_else(taken)
                && until.as_ref().is_none_or(|(_, latest)| at > *latest)
            {
                until = Some((key, at));
            }
        }
        Headroom {
            calls,
            until: until
                .filter(|_| calls == 0)
                .map(|(key, at)| (key.0.to_string(), at)),
        }
    }

    /// When a limit that counts a cost and is not closed has room for one request of the recent
    /// cost.
    fn alone(&self, key: &LimitKey, now: Mono) -> Option<Mono> {
        let typical = self.typical.get(key)?;
        let most = u32::try_from(self.book.most(key)).unwrap_or(u32::MAX);
        let share = Charge {
            key: key.clone(),
            units: typical.units().min(most),
        };
        Some(
            self.book
                .refusal(std::slice::from_ref(&share), now)
                .map_or(now, |refusal| refusal.until),
        )
    }

    /// When the limit has room for one request more than the reserved ones, at most a day from now.
    /// [`Mono::FAR`]: when a request ends.
    fn beyond(&self, key: &LimitKey, set_aside: u32, now: Mono, horizon_ms: u64) -> Mono {
        if !self.kinds.contains_key(key) || self.is_concurrency(key) {
            return Mono::FAR;
        }
        let enough = |ms| {
            self.requests_in(
                key,
                self.book.headroom(std::slice::from_ref(key), now, ms).units,
            ) > set_aside
        };
        let (mut low, mut high) = (horizon_ms, horizon_ms.max(1));
        while !enough(high) {
            if high >= LONGEST_FORECAST_MS {
                return now.plus_ms(LONGEST_FORECAST_MS);
            }
            (low, high) = (high, high * 2);
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            (low, high) = if enough(middle) {
                (low, middle)
            } else {
                (middle, high)
            };
        }
        now.plus_ms(high)
    }

    /// How many requests of the recent cost these units suffice for.
    fn requests_in(&self, key: &LimitKey, units: u32) -> u32 {
        self.typical
            .get(key)
            .map_or(units, |typical| typical.requests_in(units))
    }

    /// The limit that has no room now, and until when.
    pub fn refusal(&self, shares: &[Charge], now: Mono, passes_closures: bool) -> Option<Refusal> {
        if passes_closures {
            self.book.refusal_of_check(shares, now)
        } else {
            self.book.refusal(shares, now)
        }
    }

    /// Whether only its limits keep an owner's jobs from being sent.
    pub fn set_demand(&mut self, owner: Owner, demand: bool, now: Mono) {
        if let Some(ledger) = self.owners.get_mut(&owner) {
            ledger.meter.demand(now, demand);
        }
    }

    pub fn usage(&mut self, owner: Owner, now: Mono) -> Option<Usage> {
        let meter = &mut self.owners.get_mut(&owner)?.meter;
        meter.advance(now);
        Some(Usage {
            requests: meter.requests(),
            possible: meter.possible(),
            used: meter.used(),
        })
    }
}

/// What a request takes from a limit.
fn units_of(shares: &[Charge], key: &LimitKey) -> u32 {
    shares
        .iter()
        .find(|share| share.key == *key)
        .map_or(1, |share| share.units)
}

/// The indexes of limits with a property.
fn indexes<'a>(
    limits: impl Iterator<Item = &'a BoundLimit>,
    holds: impl Fn(&BoundLimit) -> bool,
) -> Vec<usize> {
    limits
        .enumerate()
        .filter(|(_, limit)| holds(limit))
        .map(|(index, _)| index)
        .collect()
}

#[cfg(test)]
mod tests;

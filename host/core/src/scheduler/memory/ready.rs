//! Lanes with loaded heads, by priority and kind, each in the order of their turns.
//!
//! Each operation costs O(kinds · log lanes), however much is loaded. Kinds are a connector's
//! object types times the four actions.

use std::collections::{BTreeMap, BTreeSet};

use crate::scheduler::head::{Kind, LaneKey};
use crate::time::Mono;

type Ring = BTreeSet<(u64, LaneKey)>;

/// The loaded heads of one kind, over all lanes.
#[derive(Clone, Copy, Debug)]
pub struct Filling {
    pub count: usize,
    /// When the first of them was loaded. A call that is not full waits from then on.
    pub since: Mono,
    /// Answers to reads before the first of them was loaded.
    pub answers: u64,
}

#[derive(Debug, Default)]
pub struct Ready {
    bands: BTreeMap<i8, BTreeMap<Kind, Ring>>,
    kinds: BTreeMap<Kind, Filling>,
    turns: u64,
}

impl Ready {
    /// A turn after all others.
    pub fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    /// A lane now has heads of this kind.
    pub fn enter(&mut self, lane: LaneKey, turn: u64, kind: Kind) {
        self.bands
            .entry(lane.priority)
            .or_default()
            .entry(kind)
            .or_default()
            .insert((turn, lane));
    }

    /// A lane has no more heads of this kind, or gets another turn.
    pub fn leave(&mut self, lane: LaneKey, turn: u64, kind: Kind) {
        let Some(band) = self.bands.get_mut(&lane.priority) else {
            return;
        };
        if let Some(ring) = band.get_mut(&kind) {
            ring.remove(&(turn, lane));
            if ring.is_empty() {
                band.remove(&kind);
            }
        }
        if band.is_empty() {
            self.bands.remove(&lane.priority);
        }
    }

    /// One more head of a kind, in any lane.
    pub fn count_up(&mut self, kind: Kind, since: Mono, answers: u64) {
        self.kinds
            .entry(kind)
            .or_insert(Filling {
                count: 0,
                since,
                answers,
            })
            .count += 1;
    }

    pub fn count_down(&mut self, kind: Kind) {
        let Some(filling) = self.kinds.get_mut(&kind) else {
            return;
        };
        filling.count -= 1;
        if filling.count == 0 {
            self.kinds.remove(&kind);
        }
    }

    /// Loaded heads, by kind.
    pub fn kinds(&self) -> impl Iterator<Item = (Kind, Filling)> {
        self.kinds.iter().map(|(kind, filling)| (*kind, *filling))
    }

    /// The next lane in turn with heads of these kinds: among those of the highest priority, or
    /// among all of them.
    pub fn front(&self, kinds: &[Kind], ignore_priority: bool) -> Option<LaneKey> {
        let front = |band: &BTreeMap<Kind, Ring>| {
            kinds
                .iter()
                .filter_map(|kind| band.get(kind)?.first())
                .min()
                .copied()
        };
        let first = if ignore_priority {
            self.bands.values().filter_map(front).min()
        } else {
            self.bands.values().rev().find_map(front)
        };
        first.map(|(_, lane)| lane)
    }

    /// The next lane in turn of one priority, without the lanes in `passed`.
    pub fn front_of(&self, priority: i8, kinds: &[Kind], passed: &[LaneKey]) -> Option<LaneKey> {
        let band = self.bands.get(&priority)?;
        let free = |ring: &Ring| {
            ring.iter()
                .find(|(_, lane)| !passed.contains(lane))
                .copied()
        };
        kinds
            .iter()
            .filter_map(|kind| free(band.get(kind)?))
            .min()
            .map(|(_, lane)| lane)
    }

    /// Priorities with loaded heads, highest first.
    pub fn priorities(&self) -> impl Iterator<Item = i8> {
        self.bands.keys().rev().copied()
    }
}

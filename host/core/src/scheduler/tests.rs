//! Packing, priorities, turns, and single ways in which a head could get lost. The simulation
//! covers them together.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use super::*;
use crate::domain::action::Action;
use crate::domain::belt::{BeltOnFailure, BeltProgress, priority_bit};
use crate::domain::ids::{ConnectionId, ExecutionSeq, JobSeq, SubscriptionId, TypeHash};
use crate::domain::object::ObjectHash;
use crate::domain::partition::KeyHash;
use crate::time::Mono;

const SHOP: ConnectionId = ConnectionId(1);
const T0: Mono = Mono(0);

struct Free;

impl LimitForecast for Free {
    fn headroom(&self, _: ConnectionId, _: Mono) -> (u32, Option<(String, Mono)>) {
        (100, None)
    }
}

/// Room at that instant and not before.
struct From(Mono);

impl LimitForecast for From {
    fn headroom(&self, _: ConnectionId, now: Mono) -> (u32, Option<(String, Mono)>) {
        if now >= self.0 {
            (1, None)
        } else {
            (0, Some(("shop".to_owned(), self.0)))
        }
    }
}

fn packing(max_items: u32) -> PackingRule {
    PackingRule {
        max_items,
        ..PackingRule::default()
    }
}

fn rules(packing: PackingRule) -> ConnectionRules {
    ConnectionRules {
        connection: SHOP,
        subscription: SubscriptionId(1),
        weight: 1,
        max_calls: 100,
        belt_on_failure: BeltOnFailure::Continue,
        packing: HashMap::from([(TypeHash(1), packing)]),
    }
}

fn belt(number: u32, total: u64, priorities: &[i8]) -> BeltProgress {
    let bits = priorities
        .iter()
        .fold(0, |bits, priority| bits | priority_bit(*priority));
    BeltProgress {
        belt: number,
        total,
        states: [total, 0, 0, 0, 0, 0, 0, 0, 0],
        priorities: bits,
        ..BeltProgress::default()
    }
}

fn head(execution: i64, index: u32) -> Head {
    let place = execution * 1000 + i64::from(index);
    Head {
        job: ExecutionSeq(execution).job(index),
        connection: SHOP,
        belt: 1,
        key: KeyHash(place),
        object: ObjectHash(place),
        type_hash: TypeHash(1),
        action: Action::Upsert,
        priority: 0,
        attempts: 0,
        seal: execution,
        pinned: false,
    }
}

/// A scheduler with executions of this many jobs of one priority. Their pages are requested and not
/// answered.
fn scheduler(packing: PackingRule, executions: &[(i64, u32)]) -> Scheduler {
    let mut scheduler = Scheduler::new(SchedulerBounds::default());
    scheduler.connect(rules(packing));
    for (seq, jobs) in executions {
        scheduler.open(
            ExecutionSeq(*seq),
            false,
            [(SHOP, belt(1, u64::from(*jobs), &[0]))],
        );
    }
    scheduler.needs();
    scheduler
}

fn read(scheduler: &mut Scheduler, heads: &[Head]) {
    scheduler.page(heads[0].lane(), heads, &[], None, T0);
}

fn heads(execution: i64, jobs: u32) -> Vec<Head> {
    (0..jobs).map(|index| head(execution, index)).collect()
}

fn jobs(claim: Option<Claim>) -> Vec<(i64, u32)> {
    claim
        .map(|claim| {
            claim
                .heads
                .iter()
                .map(|h| (h.job.execution().0, h.job.index()))
                .collect()
        })
        .unwrap_or_default()
}

fn again(call_cap: Option<u32>) -> AfterCall {
    AfterCall::Again {
        attempts: 1,
        pinned: false,
        call_cap,
    }
}

fn end(scheduler: &mut Scheduler, heads: &[Head], ending: AfterCall) {
    let endings: Vec<_> = heads.iter().map(|head| (*head, ending)).collect();
    scheduler.ended(SHOP, TypeHash(1), &endings, T0);
}

#[test]
fn executions_take_turns_inside_a_call() {
    let mut s = scheduler(packing(4), &[(1, 5), (2, 5)]);
    read(&mut s, &heads(1, 5));
    read(&mut s, &heads(2, 5));
    assert_eq!(jobs(s.next(T0, &Free)), [(1, 0), (2, 0), (1, 1), (2, 1)]);
}

#[test]
fn partial_call_waits_for_its_time_and_goes() {
    let rule = PackingRule {
        max_wait_ms: 100,
        ..packing(3)
    };
    let mut s = scheduler(rule, &[(1, 2)]);
    read(&mut s, &heads(1, 2));
    assert_eq!(s.next(T0, &Free), None);
    assert_eq!(s.timer(), Some(T0.plus_ms(100)));
    assert_eq!(s.next(T0.plus_ms(99), &Free), None);
    assert_eq!(jobs(s.next(T0.plus_ms(100), &Free)), [(1, 0), (1, 1)]);
}

#[test]
fn full_call_goes_at_once() {
    let rule = PackingRule {
        max_wait_ms: 100,
        ..packing(3)
    };
    let mut s = scheduler(rule, &[(1, 3)]);
    read(&mut s, &heads(1, 3));
    assert_eq!(jobs(s.next(T0, &Free)).len(), 3);
}

/// Eight slots, of which each call takes one.
#[derive(Default)]
struct Slots(std::cell::Cell<u32>);

impl LimitForecast for Slots {
    fn headroom(&self, _: ConnectionId, _: Mono) -> (u32, Option<(String, Mono)>) {
        (8 - self.0.get(), None)
    }
}

#[test]
fn items_with_a_request_each_spread_over_parallel_calls() {
    let rule = PackingRule {
        full_items: 50,
        requests_per_call: 50,
        max_wait_ms: 60_000,
        ..packing(50)
    };
    for (loaded, sizes) in [
        (20, vec![3, 3, 3, 3, 2, 2, 2, 2]),
        (3, vec![1, 1, 1]),
        (600, vec![50; 8]),
    ] {
        let mut s = scheduler(rule, &[(1, loaded)]);
        read(&mut s, &heads(1, loaded));
        let slots = Slots::default();
        let mut taken = Vec::new();
        while let Some(claim) = s.next(T0, &slots) {
            slots.0.set(slots.0.get() + 1);
            assert_eq!(claim.requests as usize, claim.heads.len());
            taken.push(claim.heads.len());
        }
        assert_eq!(taken, sizes);
    }
}

#[test]
fn calls_that_sent_a_request_for_each_item_spread_the_next_ones() {
    let mut s = scheduler(packing(50), &[(1, 100)]);
    read(&mut s, &heads(1, 100));
    let slots = Slots::default();
    let first = s.next(T0, &slots).unwrap();
    assert_eq!((first.heads.len(), first.requests), (50, 1));
    s.sent(SHOP, TypeHash(1), 50, 50);
    let next = s.next(T0, &slots).unwrap();
    assert_eq!((next.heads.len(), next.requests), (7, 7), "50 in 8 calls");
    s.sent(SHOP, TypeHash(1), 7, 1);
    let last = s.next(T0, &slots).unwrap();
    assert_eq!((last.heads.len(), last.requests), (43, 1));
}

#[test]
fn filling_kind_holds_no_other_kind() {
    let rule = PackingRule {
        max_wait_ms: 60_000,
        ..packing(3)
    };
    let mut s = scheduler(rule, &[(1, 2)]);
    let other = Head {
        type_hash: TypeHash(2),
        ..head(1, 1)
    };
    read(&mut s, &[head(1, 0), other]);
    assert_eq!(jobs(s.next(T0, &Free)), [(1, 1)]);
}

#[test]
fn call_waits_for_one_page_and_no_more() {
    let mut s = scheduler(packing(3), &[(1, 9), (2, 9), (3, 9)]);
    read(&mut s, &[head(1, 0)]);
    assert_eq!(s.next(T0, &Free), None, "two pages are in flight");
    s.page(head(2, 0).lane(), &[], &[], None, T0);
    assert_eq!(jobs(s.next(T0, &Free)), [(1, 0)]);
}

#[test]
fn actions_mix_only_if_allowed() {
    let deleted = Head {
        action: Action::Delete,
        ..head(1, 1)
    };
    for (mixed_actions, expected) in [(false, 1), (true, 2)] {
        let mut s = scheduler(
            PackingRule {
                mixed_actions,
                ..packing(5)
            },
            &[(1, 2)],
        );
        read(&mut s, &[head(1, 0), deleted]);
        assert_eq!(jobs(s.next(T0, &Free)).len(), expected);
    }
}

#[test]
fn capped_job_shares_only_small_calls() {
    let mut s = scheduler(packing(4), &[(1, 8)]);
    read(&mut s, &heads(1, 8));
    let first = s.next(T0, &Free).unwrap();
    end(&mut s, &first.heads, again(Some(2)));
    assert_eq!(jobs(s.next(T0, &Free)), [(1, 0), (1, 1)]);
    assert_eq!(jobs(s.next(T0, &Free)), [(1, 2), (1, 3)]);
    assert_eq!(jobs(s.next(T0, &Free)).len(), 4);
}

#[test]
fn capped_job_that_joins_keeps_the_call_small() {
    let mut s = scheduler(packing(4), &[(1, 1), (2, 3)]);
    read(&mut s, &[head(1, 0)]);
    let alone = loop {
        if let Some(claim) = s.next(T0, &Free) {
            break claim;
        }
        let more = Some(ExecutionSeq(2).job(0));
        s.page(head(2, 0).lane(), &[], &[], more, T0);
    };
    s.needs();
    read(&mut s, &heads(2, 3));
    end(&mut s, &alone.heads, again(Some(2)));
    // Execution 2 goes first; the capped job joins as the second and last.
    assert_eq!(jobs(s.next(T0, &Free)), [(2, 0), (1, 0)]);
}

#[test]
fn tenth_pick_ignores_priority() {
    let mut s = Scheduler::new(SchedulerBounds::default());
    s.connect(rules(packing(1)));
    s.open(ExecutionSeq(1), false, [(SHOP, belt(1, 100, &[10]))]);
    s.open(ExecutionSeq(2), false, [(SHOP, belt(1, 100, &[-10]))]);
    s.needs();
    let high: Vec<_> = heads(1, 100)
        .into_iter()
        .map(|h| Head { priority: 10, ..h })
        .collect();
    let low: Vec<_> = heads(2, 100)
        .into_iter()
        .map(|h| Head { priority: -10, ..h })
        .collect();
    read(&mut s, &high);
    read(&mut s, &low);
    let picks: Vec<i64> = (0..20).map(|_| jobs(s.next(T0, &Free))[0].0).collect();
    assert_eq!(
        picks.iter().filter(|execution| **execution == 2).count(),
        2,
        "{picks:?}"
    );
    assert_eq!((picks[9], picks[19]), (2, 2), "{picks:?}");
}

#[test]
fn timers_do_not_pile_up() {
    let mut s = scheduler(packing(1), &[(1, 1)]);
    read(&mut s, &[head(1, 0)]);
    for ms in 0..50 {
        s.limits_changed(SHOP);
        assert_eq!(s.next(T0, &From(T0.plus_ms(1000 + ms))), None);
        assert_eq!(s.timer(), Some(T0.plus_ms(1000 + ms)));
    }
    let room = From(T0.plus_ms(1049));
    assert_eq!(jobs(s.next(T0.plus_ms(1049), &room)), [(1, 0)]);
    assert_eq!(s.timer(), None);
}

#[test]
fn next_head_of_a_key_is_looked_up_after_a_retry() {
    let mut s = scheduler(packing(1), &[(1, 2)]);
    let first = head(1, 0);
    s.page(first.lane(), &[first], &[first.key], None, T0);
    let claim = s.next(T0, &Free).unwrap();
    end(&mut s, &claim.heads, AfterCall::Left);
    let asked = Need::Head {
        connection: SHOP,
        key: first.key,
    };
    assert_eq!(s.needs(), [asked]);
    // It waits for its retry: nothing of the key is ready, and nothing is reported.
    s.found(&[first], T0);
    let claim = s.next(T0, &Free).unwrap();
    end(&mut s, &claim.heads, AfterCall::Left);
    assert_eq!(s.needs(), [asked]);
}

#[test]
fn page_read_before_a_pause_moves_no_cursor() {
    let mut s = scheduler(packing(1), &[(1, 3)]);
    let lane = head(1, 0).lane();
    s.page(lane, &[head(1, 0)], &[], Some(JobSeq(head(1, 0).job.0)), T0);
    assert!(matches!(s.needs()[..], [Need::Page { after: Some(_), .. }]));
    s.pause(ExecutionSeq(1), true);
    s.pause(ExecutionSeq(1), false);
    assert_eq!(s.needs(), [], "the old read is still in flight");
    s.page(lane, &[head(1, 1)], &[], Some(head(1, 1).job), T0);
    assert_eq!(s.needs(), [Need::Page { lane, after: None }]);
}

#[test]
fn removed_connection_that_returns_counts_its_calls() {
    let mut s = scheduler(packing(1), &[(1, 2)]);
    read(&mut s, &heads(1, 2));
    let claim = s.next(T0, &Free).unwrap();
    s.disconnect(SHOP);
    assert_eq!(s.connections().count(), 0);
    s.connect(ConnectionRules {
        max_calls: 1,
        ..rules(packing(1))
    });
    s.needs();
    read(&mut s, &heads(1, 2));
    assert_eq!(s.next(T0, &Free), None, "one call is in flight");
    end(&mut s, &claim.heads, AfterCall::Left);
    assert_eq!(jobs(s.next(T0, &Free)), [(1, 1)]);
}

#[test]
fn removed_connection_is_forgotten_when_its_calls_ended() {
    let mut s = scheduler(packing(1), &[(1, 1)]);
    read(&mut s, &[head(1, 0)]);
    let claim = s.next(T0, &Free).unwrap();
    s.disconnect(SHOP);
    end(&mut s, &claim.heads, again(None));
    assert!(s.connections.is_empty());
}

#[test]
fn outdated_counters_close_no_belt() {
    let mut s = Scheduler::new(SchedulerBounds::default());
    s.connect(rules(packing(1)));
    s.open(
        ExecutionSeq(1),
        false,
        [1, 2, 3].map(|number| (SHOP, belt(number, 1, &[0]))),
    );
    s.needs();
    let done = |number| BeltProgress {
        states: [0, 0, 0, 1, 0, 0, 0, 0, 0],
        ..belt(number, 1, &[0])
    };
    s.progress([(ExecutionSeq(1), SHOP, done(1))]);
    s.progress([(
        ExecutionSeq(1),
        SHOP,
        BeltProgress {
            states: [0, 1, 0, 0, 0, 0, 0, 0, 0],
            ..belt(1, 1, &[0])
        },
    )]);
    s.progress([(ExecutionSeq(1), SHOP, done(2))]);
    let opened = s.needs().into_iter().filter_map(|need| {
        if let Need::OpenBelt { belt, .. } = need {
            Some(belt)
        } else {
            None
        }
    });
    assert_eq!(opened.collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn held_belt_opens_when_its_cause_is_canceled() {
    let mut s = Scheduler::new(SchedulerBounds::default());
    s.connect(ConnectionRules {
        belt_on_failure: BeltOnFailure::Hold,
        ..rules(packing(1))
    });
    let aside = BeltProgress {
        set_aside: 1,
        ..belt(1, 1, &[0])
    };
    s.open(
        ExecutionSeq(1),
        false,
        [(SHOP, aside), (SHOP, belt(2, 1, &[0]))],
    );
    s.needs();
    s.progress([(
        ExecutionSeq(1),
        SHOP,
        BeltProgress {
            states: [0, 0, 0, 0, 0, 0, 0, 0, 1],
            ..belt(1, 1, &[0])
        },
    )]);
    assert!(s.needs().contains(&Need::OpenBelt {
        execution: ExecutionSeq(1),
        connection: SHOP,
        belt: 2
    }));
}

#[test]
fn jobs_of_one_object_and_many_keys_go_one_after_the_other() {
    let mut s = scheduler(packing(10), &[(1, 3)]);
    let same: Vec<_> = heads(1, 3)
        .into_iter()
        .map(|h| Head {
            object: ObjectHash(7),
            ..h
        })
        .collect();
    read(&mut s, &same);
    for index in 0..3 {
        let claim = s.next(T0, &Free).unwrap();
        assert_eq!(jobs(Some(claim.clone())), [(1, index)]);
        assert_eq!(s.next(T0, &Free), None);
        end(&mut s, &claim.heads, AfterCall::Left);
    }
}

#[test]
fn gone_job_makes_its_lane_be_read_again() {
    let mut s = scheduler(packing(1), &[(1, 2)]);
    let lane = head(1, 0).lane();
    let key = head(1, 0).key;
    s.page(lane, &[], &[key], None, T0);
    s.needs();
    s.gone(&[head(1, 0).job]);
    assert_eq!(s.needs(), [Need::Page { lane, after: None }]);
}

#[test]
fn belts_that_change_together_are_reviewed_together() {
    let mut s = Scheduler::new(SchedulerBounds::default());
    s.connect(rules(packing(1)));
    let aside = BeltProgress {
        set_aside: 1,
        opened: true,
        ..belt(2, 1, &[0])
    };
    s.open(
        ExecutionSeq(1),
        false,
        [
            (SHOP, belt(1, 1, &[0])),
            (SHOP, aside),
            (SHOP, belt(3, 1, &[0])),
        ],
    );
    s.needs();
    let done = BeltProgress {
        states: [0, 0, 0, 1, 0, 0, 0, 0, 0],
        ..belt(1, 1, &[0])
    };
    let released = BeltProgress {
        set_aside: 0,
        ..aside
    };
    s.progress([
        (ExecutionSeq(1), SHOP, done),
        (ExecutionSeq(1), SHOP, released),
    ]);
    assert!(
        !s.needs()
            .iter()
            .any(|need| matches!(need, Need::OpenBelt { belt: 3, .. }))
    );
}

#[test]
fn heads_found_at_once_fill_the_window_and_not_the_memory() {
    let mut s = Scheduler::new(SchedulerBounds {
        window: 4,
        page: 2,
        ..SchedulerBounds::default()
    });
    s.connect(rules(packing(1)));
    s.open(ExecutionSeq(1), false, [(SHOP, belt(1, 100, &[0]))]);
    s.needs();
    let lane = head(1, 0).lane();
    s.page(lane, &[], &[], None, T0);
    s.found(&heads(1, 100), T0);
    assert_eq!(s.connections[&SHOP].window.loaded, 4);
    assert_eq!(s.needs(), [], "there is no room to read anything");
    for index in 0..4 {
        let claim = s.next(T0, &Free).unwrap();
        assert_eq!(jobs(Some(claim.clone())), [(1, index)]);
        end(&mut s, &claim.heads, AfterCall::Left);
    }
    assert!(
        s.needs().contains(&Need::Page { lane, after: None }),
        "what was turned away is read"
    );
}

#[test]
fn lane_of_an_urgent_job_is_read_before_longer_waiting_ones() {
    let mut s = Scheduler::new(SchedulerBounds {
        window: 1,
        page: 1,
        ..SchedulerBounds::default()
    });
    s.connect(rules(packing(1)));
    for seq in 1..=40 {
        s.open(
            ExecutionSeq(seq),
            false,
            [(SHOP, belt(1, 1, &[if seq <= 20 { 0 } else { 10 }]))],
        );
    }
    let mut read = Vec::new();
    for _ in 0..20 {
        let pages: Vec<_> = s
            .needs()
            .into_iter()
            .filter_map(|need| {
                if let Need::Page { lane, .. } = need {
                    Some(lane)
                } else {
                    None
                }
            })
            .collect();
        let [lane] = pages[..] else {
            panic!("one read at a time: {pages:?}")
        };
        read.push(lane.priority);
        s.page(lane, &[], &[], None, T0);
    }
    assert_eq!(
        read.iter().filter(|priority| **priority == 10).count(),
        18,
        "every tenth is the one that waited longest: {read:?}"
    );
    assert_eq!((read[9], read[19]), (0, 0));
}

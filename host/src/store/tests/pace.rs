//! Pace, measured by hand: `cargo nextest run -p egression-host --run-ignored only pace
//! --no-capture`.

use std::collections::BTreeMap;

use egression_core::domain::ids::ExecutionSeq;
use egression_core::domain::state::JobState;

use super::fixtures::{ended, execution, intent, items, jobs, key, keyed, remote};
use super::{SHOP, World};
use crate::clock::Clock;
use crate::store::rows::{IdMapChange, LaneKey, Settlement};

const ROWS: u32 = 200_000;

const fn lane(execution: ExecutionSeq) -> LaneKey {
    LaneKey {
        connection: SHOP,
        execution,
        belt: 1,
        priority: 0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn receiving_and_settling_pace() {
    let world = World::new().await;
    let clock = Clock::system();
    let store = &world.store;
    let seq = store.begin_execution(execution()).await.unwrap();
    let received = items(jobs(ROWS, "p"));
    let start = clock.mono();
    world.stage(seq, received).await;
    let took = clock.mono().since_us(start);
    println!("stage: {} rows/s", u64::from(ROWS) * 1_000_000 / took);
    let start = clock.mono();
    world.seal(seq).await;
    println!("seal: {} us", clock.mono().since_us(start));

    let start = clock.mono();
    let (mut heads, mut next) = (Vec::new(), None);
    while heads.len() < 20_000 {
        let page = store.lane_page(lane(seq), next, 1000).await.unwrap();
        heads.extend(page.heads.iter().map(|head| head.job));
        next = page.next;
    }
    let per_second = |us| heads.len() as u64 * 1_000_000 / us;
    println!(
        "lane pages: {} heads/s",
        per_second(clock.mono().since_us(start))
    );

    let mut took = BTreeMap::new();
    for (call, batch) in (0..).zip(heads.chunks(50)) {
        let start = clock.mono();
        store.claim(batch).await.unwrap();
        *took.entry("claim").or_insert(0) += clock.mono().since_us(start);
        let start = clock.mono();
        store
            .open_intent(batch.iter().map(|job| intent(*job, call)).collect())
            .await
            .unwrap();
        *took.entry("open_intent").or_insert(0) += clock.mono().since_us(start);
        let settlements = batch
            .iter()
            .map(|job| Settlement {
                id_map: IdMapChange::Replace(vec![remote("product", &job.to_string())]),
                delivered_revision: Some(3),
                ..ended(*job, Some(call), JobState::Succeeded)
            })
            .collect();
        let start = clock.mono();
        store.settle(settlements).await.unwrap();
        *took.entry("settle").or_insert(0) += clock.mono().since_us(start);
    }
    for (what, us) in took {
        println!("{what}: {} jobs/s in batches of 50", per_second(us));
    }
    world.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn coarse_key_pace() {
    let world = World::new().await;
    let clock = Clock::system();
    let store = &world.store;
    let coarse = |index| keyed(index, &format!("p{index}"), "k");
    let seq = world.receive((0..ROWS).map(coarse)).await;
    world.seal(seq).await;
    for i in 0..2000 {
        let small = items([keyed(0, &format!("s{i}"), "k")]);
        world.submit_items(small, None).await.unwrap();
    }
    let start = clock.mono();
    for round in 0..100i64 {
        let heads = store.heads_of_keys(&[key("k")], world.now()).await.unwrap();
        assert_eq!(i64::from(heads[0].job.index()), round);
        store
            .open_intent(vec![intent(heads[0].job, round)])
            .await
            .unwrap();
        store
            .settle(vec![ended(heads[0].job, Some(round), JobState::Succeeded)])
            .await
            .unwrap();
    }
    println!(
        "head, intent, settlement of a key with {ROWS} jobs: {} us a round",
        clock.mono().since_us(start) / 100
    );
    let start = clock.mono();
    store.lane_page(lane(seq), None, 1000).await.unwrap();
    println!("lane page of 1000: {} us", clock.mono().since_us(start));
}

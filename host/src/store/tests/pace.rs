//! Pace, measured by hand: `cargo nextest run -p egression-host --run-ignored only pace
//! --no-capture`.

use std::collections::BTreeMap;

use egression_core::domain::object::Remote;
use egression_core::domain::state::JobState;

use super::{SHOP, World, ended, execution, intent, job, keyed};
use crate::store::rows::{IdMapChange, LaneKey, Settlement, StagedItem};

const ROWS: u32 = 200_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn receiving_and_settling_pace() {
    let world = World::new().await;
    let clock = crate::clock::Clock::system();
    let store = &world.store;
    let seq = store.begin_execution(execution()).await.unwrap();
    let chunks: Vec<Vec<_>> = (0..ROWS / 1000)
        .map(|c| {
            (0..1000)
                .map(|i| StagedItem::Job(job(c * 1000 + i, &format!("{c}-{i}"))))
                .collect()
        })
        .collect();
    let start = clock.mono();
    for chunk in chunks {
        store.stage(seq, chunk).await.unwrap();
    }
    let took = clock.mono().since_us(start);
    println!("stage: {} rows/s", u64::from(ROWS) * 1_000_000 / took);
    let start = clock.mono();
    store.seal(seq, None).await.unwrap();
    println!("seal: {} us", clock.mono().since_us(start));

    let lane = LaneKey {
        connection: SHOP,
        execution: seq,
        belt: 1,
        priority: 0,
    };
    let start = clock.mono();
    let (mut heads, mut next) = (Vec::new(), None);
    while heads.len() < 20_000 {
        let page = store.lane_page(lane, next, 1000).await.unwrap();
        heads.extend(page.heads.iter().map(|head| head.job));
        next = page.next;
    }
    println!(
        "lane pages: {} heads/s",
        heads.len() as u64 * 1_000_000 / clock.mono().since_us(start)
    );

    let mut took = BTreeMap::new();
    for (call, batch) in heads.chunks(50).enumerate() {
        let call = i64::try_from(call).unwrap();
        let start = clock.mono();
        store.claim(batch).await.unwrap();
        *took.entry("claim").or_insert(0) += clock.mono().since_us(start);
        let start = clock.mono();
        store
            .open_intent(batch.iter().map(|job| intent(*job, call)).collect())
            .await
            .unwrap();
        *took.entry("open_intent").or_insert(0) += clock.mono().since_us(start);
        let remote = |id: String| Remote {
            kind: "product".to_owned(),
            id,
            version: Some("1".to_owned()),
            url: None,
            sub_id: None,
        };
        let settlements = batch
            .iter()
            .map(|job| Settlement {
                id_map: IdMapChange::Replace(vec![remote(job.to_string())]),
                delivered_revision: Some(3),
                ..ended(*job, Some(call), JobState::Succeeded)
            })
            .collect();
        let start = clock.mono();
        store.settle(settlements).await.unwrap();
        *took.entry("settle").or_insert(0) += clock.mono().since_us(start);
    }
    for (what, us) in took {
        println!(
            "{what}: {} jobs/s in batches of 50",
            heads.len() as u64 * 1_000_000 / us
        );
    }
    world.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn coarse_key_pace() {
    let world = World::new().await;
    let clock = crate::clock::Clock::system();
    let store = &world.store;
    let seq = store.begin_execution(execution()).await.unwrap();
    for c in 0..ROWS / 1000 {
        store
            .stage(
                seq,
                (0..1000)
                    .map(|i| StagedItem::Job(keyed(c * 1000 + i, &format!("{c}-{i}"), "k")))
                    .collect(),
            )
            .await
            .unwrap();
    }
    store.seal(seq, None).await.unwrap();
    for i in 0..2000 {
        store
            .submit(
                execution(),
                vec![StagedItem::Job(keyed(0, &format!("s{i}"), "k"))],
                None,
            )
            .await
            .unwrap();
    }
    let start = clock.mono();
    for round in 0..100i64 {
        let heads = store
            .heads_of_keys(&[super::key("k")], world.now())
            .await
            .unwrap();
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
    let lane = LaneKey {
        connection: SHOP,
        execution: seq,
        belt: 1,
        priority: 0,
    };
    let start = clock.mono();
    store.lane_page(lane, None, 1000).await.unwrap();
    println!("lane page of 1000: {} us", clock.mono().since_us(start));
}

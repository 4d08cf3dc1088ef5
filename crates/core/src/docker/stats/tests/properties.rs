use proptest::prelude::*;

use super::*;

fn number() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        Just(None),
        Just(Some(0)),
        Just(Some(u64::MAX)),
        (0..1_u64 << 40).prop_map(Some),
        any::<u64>().prop_map(Some),
    ]
}

fn cpus() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![Just(None), (0..=300_u32).prop_map(Some), any::<u32>().prop_map(Some)]
}

prop_compose! {
    fn counters()(
        times in [number(), number(), number()],
        cpus in cpus(),
        memory in proptest::option::of([number(), number(), number(), number(), number()]),
        moved in [number(), number(), number(), number()],
        tasks in number(),
    ) -> Counters {
        let memory = memory.map(|[usage, limit, total_inactive_file, inactive_file, private_working_set]| Memory {
            usage, limit, total_inactive_file, inactive_file, private_working_set,
        });
        let [read, cpu_nanos, system_nanos] = times;
        let [read_bytes, written_bytes, received_bytes, sent_bytes] = moved;
        Counters {
            read: read.map(Nanos), cpu_nanos, system_nanos, cpus, memory,
            read_bytes, written_bytes, received_bytes, sent_bytes, tasks,
        }
    }
}

prop_compose! {
    fn a_look()(at in prop_oneof![0..100 * SECOND, any::<u64>()], life in 0..2_u64, counters in counters()) -> Look {
        Look { key: Key { id: "ab".into(), life }, at: Mono(at), how: How::Files, counters }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever an engine says: no panic, no more CPU time than its processors had, nothing that cannot be stored.
    #[test]
    fn no_lie_becomes_an_absurd_value(
        before in proptest::option::of(a_look()),
        now in a_look(),
        cpus in cpus(),
        memory in number(),
    ) {
        let host = Host { cpus, memory };
        let made = readings(before.as_ref(), &now, &host);
        prop_assert!(made.is_sorted_by_key(|(metric, _)| metric.number()));
        prop_assert!(made.iter().all(|(_, value)| *value <= LARGEST));
        let told = before.as_ref().and_then(|before| before.counters.cpus).max(now.counters.cpus);
        let most = told.or(cpus).filter(|most| (1..=MOST_CPUS).contains(most)).unwrap_or(MOST_CPUS);
        if let Some(of_core) = of(&made, Metric::CpuOfCore) {
            prop_assert!(of_core as f64 <= f64::from(most) * 100_000.0 * SLACK + 1.0, "{of_core} of {most}");
        }
        prop_assert!(of(&made, Metric::CpuOfHost).is_none_or(|of_host| of_host <= 100_000));
        if before.as_ref().is_none_or(|before| before.key != now.key) {
            for metric in [Metric::CpuOfCore, Metric::Read, Metric::Written, Metric::Received, Metric::Sent] {
                prop_assert_eq!(of(&made, metric), None);
            }
        }
    }

    /// A counter that begins anew below what it was never becomes a rate.
    #[test]
    fn a_reset_makes_no_rate(high in 1..u64::MAX, low in any::<u64>(), elapsed in SECOND..1_000 * SECOND) {
        let low = low % high;
        let told = |at, cpu| look(at, Counters { cpu_nanos: Some(cpu), sent_bytes: Some(cpu), ..Counters::default() });
        prop_assert_eq!(readings(Some(&told(0, high)), &told(elapsed, low), &HOST), []);
    }

    /// With honest counters the formula by the clock gives what was used.
    #[test]
    fn honest_counters(share in 0..=400_u64, start in 0..1_u64 << 50, seconds in 1..300_u64) {
        let (before, now) = (busy(5, start), busy(5 + seconds, start + seconds * SECOND / 100 * share));
        let made = readings(Some(&before), &now, &HOST);
        prop_assert!(of(&made, Metric::CpuOfCore).is_some_and(|of_core| of_core.abs_diff(share * 1_000) <= 1));
    }

    #[test]
    fn any_bytes_are_a_body_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[{}\\[\\]:,\"a-z0-9.eE+-]{0,60}") {
        let _ = (parse(&bytes), parse(text.as_bytes()));
    }

    /// A body with any texts in the place of times and operations.
    #[test]
    fn any_texts_in_a_body(read in ".{0,40}", op in ".{0,10}", name in ".{0,10}", value in any::<u64>()) {
        let body = serde_json::json!({
            "read": read, "networks": { name: { "rx_bytes": value } },
            "blkio_stats": { "io_service_bytes_recursive": [{ "op": op, "value": value }, { "op": "read", "value": value }] },
        });
        let body = parse(body.to_string().as_bytes()).expect("an object");
        prop_assert_eq!(body.counters.received_bytes, Some(value));
    }
}

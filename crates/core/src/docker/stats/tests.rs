use super::*;

mod golden;
mod properties;

const SECOND: u64 = 1_000_000_000;
const MIB: u64 = 1 << 20;

/// A host with four processors and 16 GiB.
const HOST: Host = Host { cpus: Some(4), memory: Some(16 << 30) };

/// Of one life, on our clock, with these counters.
fn look(at: u64, counters: Counters) -> Look {
    Look { key: Key { id: "ab".into(), life: 1 }, at: Mono(at), how: How::Files, counters }
}

/// So much CPU time by then, on four processors.
fn busy(at_seconds: u64, cpu_nanos: u64) -> Look {
    look(at_seconds * SECOND, Counters { cpu_nanos: Some(cpu_nanos), cpus: Some(4), ..Counters::default() })
}

fn of(readings: &Readings, metric: Metric) -> Option<u64> {
    readings.iter().find_map(|(other, value)| (*other == metric).then_some(*value))
}

#[test]
fn a_rate_needs_two_looks_of_one_life_that_were_read_the_same_way() {
    let (before, now) = (busy(10, SECOND), busy(20, 6 * SECOND));
    assert_eq!(readings(None, &now, &HOST), []);
    assert_eq!(readings(Some(&before), &now, &HOST), [(Metric::CpuOfCore, 50_000), (Metric::CpuOfHost, 12_500)]);
    let restarted = Look { key: Key { life: 2, ..now.key.clone() }, ..now.clone() };
    let another = Look { key: Key { id: "cd".into(), life: 1 }, ..now.clone() };
    let otherwise = Look { how: How::OneShot, ..now.clone() };
    for other in [restarted, another, otherwise] {
        assert_eq!(readings(Some(&before), &other, &HOST), [], "{other:?}");
    }
    assert_eq!(readings(Some(&now), &before, &HOST), [], "time went back");
    let soon = Look { at: Mono(before.at.0 + SECOND / 20), ..now.clone() };
    assert_eq!(readings(Some(&before), &soon, &HOST), [], "too soon to say anything");
}

#[test]
fn counters_that_fall_say_nothing() {
    let moved = |at, cpu, received| {
        look(at * SECOND, Counters { cpu_nanos: Some(cpu), received_bytes: Some(received), ..Counters::default() })
    };
    let restarted = readings(Some(&moved(10, 5 * SECOND, 100)), &moved(20, SECOND, 9_000), &HOST);
    assert_eq!(restarted, [], "CPU time never falls: all counters are of another life");
    let disconnected = readings(Some(&moved(10, SECOND, 9_000)), &moved(20, 2 * SECOND, 100), &HOST);
    assert_eq!(of(&disconnected, Metric::Received), None, "a network was taken away");
    assert_eq!(of(&disconnected, Metric::CpuOfCore), Some(10_000));
}

/// What no processors can have done is not told, nor is what is only the error of two clocks more than they could.
#[test]
fn cpu_time_beyond_all_processors() {
    let percent = |cpu| readings(Some(&busy(0, 0)), &busy(10, cpu), &HOST);
    assert_eq!(of(&percent(40 * SECOND), Metric::CpuOfCore), Some(400_000));
    let little = percent(42 * SECOND);
    assert_eq!((of(&little, Metric::CpuOfCore), of(&little, Metric::CpuOfHost)), (Some(420_000), Some(100_000)));
    assert_eq!(percent(60 * SECOND), []);
    assert_eq!(percent(u64::MAX), []);
}

#[test]
fn the_number_of_processors() {
    let cpus = |cpus, look: Look| Look { counters: Counters { cpus, ..look.counters }, ..look };
    let (before, now) = (busy(0, 0), busy(10, 20 * SECOND));
    let host_share = |before: &Look, now: &Look, host: &Host| {
        let made = readings(Some(before), now, host);
        assert_eq!(of(&made, Metric::CpuOfCore), Some(200_000));
        of(&made, Metric::CpuOfHost)
    };
    let nobody_knows = Host::default();
    let (none, two) = (cpus(None, now.clone()), cpus(Some(2), now.clone()));
    assert_eq!(host_share(&cpus(None, before.clone()), &none, &nobody_knows), None, "never those of this machine");
    assert_eq!(host_share(&cpus(None, before.clone()), &none, &HOST), Some(50_000));
    assert_eq!(host_share(&before, &two, &nobody_knows), Some(50_000), "two were taken away; four had worked");
    assert_eq!(host_share(&cpus(Some(2), before.clone()), &now, &nobody_knows), Some(50_000));
    assert_eq!(host_share(&cpus(Some(0), before.clone()), &cpus(Some(99_999), now), &HOST), Some(50_000), "lies");
}

/// The system's counter counts where it goes with the time of the processors.
#[test]
fn which_formula() {
    let told = |at, cpu, system, cpus| {
        let counters =
            Counters { cpu_nanos: Some(cpu), system_nanos: Some(system), cpus: Some(cpus), ..Counters::default() };
        look(at, counters)
    };
    // Ten seconds by the clock, 36 of 40 by the counter: it had fewer ticks.
    let percent = |now: Look| of(&readings(Some(&told(0, 0, 0, 4)), &now, &HOST), Metric::CpuOfCore);
    assert_eq!(percent(told(10 * SECOND, 9 * SECOND, 36 * SECOND, 4)), Some(100_000), "by the counter");
    assert_eq!(percent(told(10 * SECOND, 9 * SECOND, 9 * SECOND, 4)), Some(90_000), "Podman: its own CPU time");
    assert_eq!(percent(told(10 * SECOND, 30 * SECOND, 30 * SECOND, 4)), Some(300_000), "the same, with much of it");
    assert_eq!(percent(told(10 * SECOND, 9 * SECOND, u64::MAX, 4)), Some(90_000), "no counter");
    assert_eq!(percent(told(10 * SECOND, 9 * SECOND, 36 * SECOND, 8)), Some(90_000), "processors came");
    let fell = readings(Some(&told(0, 0, 99, 4)), &told(10 * SECOND, 9 * SECOND, 5, 4), &HOST);
    assert_eq!(of(&fell, Metric::CpuOfCore), Some(90_000), "it began anew");
}

/// The engine read the counters at moments of its own; a clock that was set is none.
#[test]
fn which_clock() {
    let told = |at: u64, read: u64, cpu| {
        let counters = Counters { read: Some(Nanos(read)), cpu_nanos: Some(cpu), ..Counters::default() };
        look(at, counters)
    };
    let t = 1_700_000_000 * SECOND;
    let percent = |ours: u64, theirs: u64| {
        let (before, now) = (told(SECOND, t, 0), told(SECOND + ours, theirs, 5 * SECOND));
        of(&readings(Some(&before), &now, &HOST), Metric::CpuOfCore)
    };
    assert_eq!(percent(10 * SECOND, t + 8 * SECOND), Some(62_500), "the engine's");
    assert_eq!(percent(10 * SECOND, t + 3_600 * SECOND), Some(50_000), "it was set ahead");
    assert_eq!(percent(10 * SECOND, t - 3_600 * SECOND), Some(50_000), "it was set back");
    assert_eq!(percent(10 * SECOND, t), None, "the same sample again");
    assert_eq!(percent(10 * SECOND, u64::MAX), Some(50_000));
}

#[test]
fn memory_in_use() {
    let memory = |usage, total, own, private| {
        let memory =
            Memory { usage, limit: None, total_inactive_file: total, inactive_file: own, private_working_set: private };
        used(memory)
    };
    for (usage, total, own, private, expected, why) in [
        (Some(100), Some(30), Some(1), None, Some(70), "v1: with what lies below"),
        (Some(100), None, Some(30), None, Some(70), "v2"),
        (Some(100), Some(0), Some(30), None, Some(100), "v1: what is 0 is not missing"),
        (Some(100), None, None, None, Some(100), "nothing is known of a cache"),
        (Some(100), Some(100), None, None, Some(100), "not less"),
        (Some(100), Some(u64::MAX), None, None, Some(100), "more than there is"),
        (Some(0), Some(0), Some(0), None, None, "the controller is off"),
        (None, Some(5), None, None, None, "absent"),
        (None, None, None, Some(9), Some(9), "Windows"),
        (Some(7), None, None, Some(0), Some(7), "Linux writes a 0 there"),
    ] {
        assert_eq!(memory(usage, total, own, private), expected, "{why}");
    }
}

#[test]
fn a_limit_that_is_the_machine_s_is_none() {
    let limited = |limit, machine| {
        let memory = Memory { usage: Some(MIB), limit, ..Memory::default() };
        let now = look(0, Counters { memory: Some(memory), ..Counters::default() });
        of(&readings(None, &now, &Host { cpus: None, memory: machine }), Metric::MemoryLimit)
    };
    assert_eq!(limited(Some(64 * MIB), Some(16 << 30)), Some(64 * MIB));
    assert_eq!(limited(Some(16 << 30), Some(16 << 30)), None);
    assert_eq!(limited(Some(9_223_372_036_854_771_712), Some(16 << 30)), None, "cgroup v1 without one");
    assert_eq!(limited(Some(64 * MIB), None), None, "nobody can tell");
    assert_eq!((limited(Some(0), Some(16 << 30)), limited(None, Some(16 << 30))), (None, None));
}

#[test]
fn what_all_use_together() {
    let first = vec![(Metric::CpuOfCore, 1_000), (Metric::CpuOfHost, 250), (Metric::Memory, 5), (Metric::Threads, 3)];
    let young = vec![(Metric::Memory, 7)];
    let sums =
        vec![(Metric::ContainersCpuOfCore, 2_000), (Metric::ContainersCpuOfHost, 500), (Metric::ContainersMemory, 17)];
    assert_eq!(share([&first, &young, &first]), sums);
    assert_eq!(share([&young]), [(Metric::ContainersMemory, 7)], "not 0: nobody has a value");
    assert_eq!(share(std::iter::empty::<&Readings>()), []);
    assert_eq!(share([&vec![(Metric::Memory, u64::MAX)], &young]), [], "no sum");
}

/// What Podman calls the time of the system is that for which the processors were busy: a share of it is too much wherever
/// some of them have nothing to do.
#[test]
fn of_podman_the_time_that_passed_counts() {
    let told = |seconds: u64| Counters {
        cpu_nanos: Some(seconds * 900_000_000),
        system_nanos: Some(seconds * 1_600_000_000),
        cpus: Some(2),
        ..Counters::default()
    };
    let percent = |of: fn(Counters) -> Counters| {
        let key = || Key { id: "a".into(), life: 0 };
        let look =
            |at: u64| Look { key: key(), at: Mono(at * 1_000_000_000), how: How::OneShot, counters: of(told(at)) };
        let found = readings(Some(&look(10)), &look(20), &Host::default());
        found.into_iter().find_map(|(metric, value)| (metric == Metric::CpuOfCore).then_some(value))
    };
    assert_eq!(percent(Counters::of_podman), Some(90_000));
    assert_eq!(percent(|counters| counters), Some(112_500), "as a share of what was busy");
}

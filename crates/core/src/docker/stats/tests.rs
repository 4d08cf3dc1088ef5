use super::*;

fn look(at_millis: u64, cpu_millis: u64) -> Look {
    let counters = Counters { cpu_nanos: Some(cpu_millis * 1_000_000), cpus: Some(4), ..Counters::default() };
    let key = Key { id: "ab".into(), life: 1 };
    Look { key, at: Mono(at_millis * 1_000_000), how: How::Files, counters }
}

#[test]
fn two_looks_make_a_percentage_and_one_makes_none() {
    let host = Host::default();
    assert_eq!(readings(None, &look(0, 5), &host), []);
    let made = readings(Some(&look(0, 0)), &look(10_000, 5_000), &host);
    assert_eq!(made, [(Metric::CpuOfCore, 50_000), (Metric::CpuOfHost, 12_500)]);
}

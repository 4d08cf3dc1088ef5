//! A robot that walks in a circle and tells where it is once a second: as a picture, or with `--headless` as a line of
//! numbers.
#![allow(clippy::disallowed_methods, reason = "it stands for any program, and most of them sleep")]

use std::time::Duration;

/// A walk around takes so many steps.
const STEPS: u32 = 24;

/// The picture is so wide, in characters.
const WIDTH: usize = 41;

fn main() {
    let headless = vigie_demo::flag("--headless");
    println!("walking, {}", if headless { "headless" } else { "with a picture" });
    for step in 0_u32.. {
        let angle = f64::from(step % STEPS) / f64::from(STEPS) * std::f64::consts::TAU;
        let (y, x) = angle.sin_cos();
        if headless {
            println!("step={step} x={x:+.2} y={y:+.2} battery={}", 100 - step % 100);
        } else {
            let mut track = vec!['·'; WIDTH];
            let at = (x + 1.0) / 2.0 * (WIDTH - 1) as f64;
            track[at.round() as usize] = if y < 0.0 { '◁' } else { '▷' };
            println!("{}", track.into_iter().collect::<String>());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

//! How much of its disk an engine uses, from what `GET /system/df` answers (R11.5).
//!
//! Layers are counted once: images share them, and the sum of their sizes tells of more than there is. Sizes are bytes; what
//! an engine has not counted it gives as -1 or leaves out, and that is absent, not 0.
//!
//! There are two forms. Up to API 1.51 the layers are one number and the rest lists; from 1.52 on each kind has its total,
//! and the lists are gone unless they are asked for.

use serde::{Deserialize, Serialize};

/// Who tells how full a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskHow {
    /// The file system below the folder of an engine of this machine.
    Statfs,
    /// The engine, which has counted what it keeps.
    SystemDf,
}

impl DiskHow {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Statfs => "file system",
            Self::SystemDf => "counted by the engine",
        }
    }
}

/// What `GET /system/df` answers, as much of it as is used.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Answer {
    layers_size: Option<i64>,
    containers: Option<Vec<Container>>,
    volumes: Option<Vec<Volume>>,
    build_cache: Option<Vec<Record>>,
    image_usage: Option<Total>,
    container_usage: Option<Total>,
    volume_usage: Option<Total>,
    build_cache_usage: Option<Total>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    /// What it has written itself. Left out when that is nothing.
    size_rw: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    usage_data: Option<Size>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    size: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    size: Option<i64>,
    /// It is counted with the layers.
    #[serde(default)]
    shared: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Total {
    /// Left out when there is nothing.
    total_size: Option<i64>,
}

/// How much that is, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Layers of images, each once.
    pub layers: Option<u64>,
    /// What containers have written.
    pub containers: Option<u64>,
    /// Volumes.
    pub volumes: Option<u64>,
    /// What builds have left, without layers.
    pub build_cache: Option<u64>,
}

impl Answer {
    /// How much that is. Of lists with entries that were not counted the rest is told: there is at least so much.
    pub fn usage(&self) -> Usage {
        let sum = |sizes: &mut dyn Iterator<Item = Option<i64>>| {
            sizes.filter_map(|size| whole(size?)).fold(0_u64, u64::saturating_add)
        };
        let total = |total: &Option<Total>| total.as_ref().and_then(|total| whole(total.total_size.unwrap_or(0)));
        Usage {
            layers: total(&self.image_usage).or(self.layers_size.and_then(whole)),
            containers: total(&self.container_usage)
                .or(self.containers.as_ref().map(|all| sum(&mut all.iter().map(|one| one.size_rw)))),
            volumes: total(&self.volume_usage)
                .or(self.volumes.as_ref().map(|all| sum(&mut all.iter().map(|one| one.usage_data.as_ref()?.size)))),
            build_cache: total(&self.build_cache_usage).or(self
                .build_cache
                .as_ref()
                .map(|all| sum(&mut all.iter().filter(|one| !one.shared).map(|one| one.size)))),
        }
    }
}

impl Usage {
    /// All of it; absent when nothing is known.
    pub fn bytes(&self) -> Option<u64> {
        [self.layers, self.containers, self.volumes, self.build_cache].into_iter().flatten().reduce(u64::saturating_add)
    }
}

fn whole(size: i64) -> Option<u64> {
    u64::try_from(size).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    #[test]
    fn both_forms_and_their_holes() {
        for (text, usage, bytes) in [
            // Docker 20.10: two images of 1 GB that share 900 MB; a volume of a driver that does not count.
            (
                r#"{"LayersSize":1100000000,
                    "Images":[{"Size":1000000000,"SharedSize":900000000},{"Size":1000000000,"SharedSize":900000000}],
                    "Containers":[{"Id":"a","SizeRw":200000000,"SizeRootFs":1200000000},{"Id":"b","SizeRootFs":1000000000}],
                    "Volumes":[{"Name":"v","UsageData":{"RefCount":1,"Size":300000000}},
                        {"Name":"w","UsageData":{"RefCount":-1,"Size":-1}},{"Name":"x","UsageData":null}],
                    "BuildCache":[{"ID":"1","Size":400000000,"Shared":false},{"ID":"2","Size":900000000,"Shared":true}],
                    "BuilderSize":0}"#,
                Usage {
                    layers: Some(1_100_000_000),
                    containers: Some(200_000_000),
                    volumes: Some(300_000_000),
                    build_cache: Some(400_000_000),
                },
                Some(2 * GB),
            ),
            // One that has nothing.
            (
                r#"{"LayersSize":0,"Images":null,"Containers":[],"Volumes":[],"BuildCache":null}"#,
                Usage { layers: Some(0), containers: Some(0), volumes: Some(0), build_cache: None },
                Some(0),
            ),
            // API 1.52: totals, and for as long as it gives them the old fields beside.
            (
                r#"{"LayersSize":5,"Containers":[{"SizeRw":7}],
                    "ImageUsage":{"ActiveCount":1,"TotalCount":2,"Reclaimable":0,"TotalSize":1000000000,"Items":[{"Size":9}]},
                    "ContainerUsage":{"TotalCount":1,"TotalSize":2000000000},
                    "VolumeUsage":{"TotalSize":3000000000},"BuildCacheUsage":{"TotalSize":4000000000}}"#,
                Usage { layers: Some(GB), containers: Some(2 * GB), volumes: Some(3 * GB), build_cache: Some(4 * GB) },
                Some(10 * GB),
            ),
            // API 1.53: only totals, and what is 0 is left out.
            (
                r#"{"ImageUsage":{"TotalCount":1,"TotalSize":1000000000},"ContainerUsage":{},"VolumeUsage":{"TotalSize":-1}}"#,
                Usage { layers: Some(GB), containers: Some(0), volumes: None, build_cache: None },
                Some(GB),
            ),
            // Podman has no layers of its own to tell.
            (
                r#"{"LayersSize":-1,"Images":[],"Containers":[{"SizeRw":5}],"Volumes":[]}"#,
                Usage { layers: None, containers: Some(5), volumes: Some(0), build_cache: None },
                Some(5),
            ),
            ("{}", Usage::default(), None),
        ] {
            let answer: Answer = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!((answer.usage(), answer.usage().bytes()), (usage, bytes), "{text}");
        }
    }

    #[test]
    fn an_engine_that_lies() {
        let most = i64::MAX;
        let text =
            format!(r#"{{"LayersSize":{most},"Containers":[{{"SizeRw":{most}}},{{"SizeRw":{most}}},{{"SizeRw":9}}]}}"#);
        let answer: Answer = serde_json::from_str(&text).expect("understood");
        assert_eq!(answer.usage().bytes(), Some(u64::MAX));
        assert!(serde_json::from_str::<Answer>(r#"{"LayersSize":1e300}"#).is_err());
    }
}

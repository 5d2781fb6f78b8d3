//! `peer-cli lab matrix`: every kind of network with every other one.

use std::time::Instant;

use futures_util::{StreamExt as _, stream};

use super::Common;
use crate::exit::Failure;
use crate::lab::nat::Reach;
use crate::lab::{Nat, Worlds, trial};
use crate::ui::{Ui, event};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The kinds, with commas [default: none, full-cone, cone, symmetric, double, udp-blocked, ipv6-only]
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<Nat>,

    /// How often each two are tried
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,

    /// How many are tried at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=32))]
    jobs: u32,

    #[command(flatten)]
    pub(super) common: Common,
}

/// One of the things to try.
#[derive(Clone, Copy)]
struct Cell {
    networks: [Nat; 2],
    turn: bool,
}

pub(super) async fn run(arguments: &Arguments, worlds: &Worlds, ui: &Ui) -> Result<u8, Failure> {
    let started = Instant::now();
    let kinds = match &arguments.kinds[..] {
        [] => &Nat::MATRIX[..],
        kinds => kinds,
    };
    let turns: &[bool] = match arguments.common.no_turn {
        true => &[false],
        false => &[false, true],
    };
    let cells: Vec<Cell> = (0..arguments.repeat)
        .flat_map(|_| turns)
        .flat_map(|turn| kinds.iter().map(move |left| (*turn, *left)))
        .flat_map(|(turn, left)| {
            kinds.iter().map(move |right| Cell {
                networks: [left, *right],
                turn,
            })
        })
        .collect();
    let trying = stream::iter(cells).map(async |cell| -> Result<_, Failure> {
        let common = &arguments.common;
        let world = common.world(worlds, cell.networks, cell.turn).await?;
        let trial = trial::run(&world, async || Ok(())).await;
        world.remove().await;
        let trial = trial.map_err(|error| Failure::from(&error))?;
        Ok(event::Cell::new(cell.networks, cell.turn, &trial))
    });
    let mut tried = Vec::new();
    // As they end: where there is no way, it takes half a minute to know it.
    let mut trying = std::pin::pin!(trying.buffer_unordered(arguments.jobs as usize));
    while let Some(cell) = trying.next().await {
        let cell = cell?;
        ui.say(cell.clone());
        tried.push(cell);
    }
    for turn in turns {
        for row in table(kinds, *turn, &tried) {
            ui.answer(&row);
        }
    }
    let bad = tried.iter().filter(|cell| !cell.is_good()).count();
    ui.say(event::Matrix {
        cells: tried.len(),
        failed: bad,
        seconds: started.elapsed().as_secs_f64(),
    });
    Ok(u8::from(bad > 0))
}

/// What was found, as a table: a row for each left network, a column for each right one.
fn table(kinds: &[Nat], turn: bool, cells: &[event::Cell]) -> Vec<String> {
    const FIRST: usize = 16;
    const WIDTH: usize = 18;
    let title = match turn {
        true => "with TURN",
        false => "without TURN",
    };
    let mut head = format!("{title:FIRST$}");
    for kind in kinds {
        head += &format!("{kind:>WIDTH$}");
    }
    let row = |left: &Nat| {
        let mut row = format!("{left:FIRST$}");
        for right in kinds {
            let same =
                |cell: &&event::Cell| (cell.left, cell.right, cell.turn) == (*left, *right, turn);
            row += &format!(
                "{:>WIDTH$}",
                entry(&cells.iter().filter(same).collect::<Vec<_>>())
            );
        }
        row
    };
    std::iter::once(head).chain(kinds.iter().map(row)).collect()
}

/// How it went with one kind and another: the way, and the longest time; what was not expected is marked.
fn entry(cells: &[&event::Cell]) -> String {
    let Some(first) = cells.first() else {
        return "-".to_owned();
    };
    let bad = cells.iter().filter(|cell| !cell.is_good()).count();
    if bad > 0 {
        return format!("{bad} of {} WRONG", cells.len());
    }
    let longest = cells.iter().map(|cell| cell.seconds).fold(0.0, f64::max);
    match first.path {
        Reach::Nowhere => first.path.to_string(),
        reach => format!("{reach} {longest:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(right: Nat, path: Reach, expected: Reach, seconds: f64) -> event::Cell {
        event::Cell {
            left: Nat::Cone,
            right,
            turn: true,
            path,
            expected,
            seconds,
            message: None,
        }
    }

    #[test]
    fn the_table_tells_the_slowest_and_what_is_wrong() {
        let cells = [
            cell(Nat::None, Reach::Direct, Reach::Direct, 0.5),
            cell(Nat::None, Reach::Direct, Reach::Direct, 1.5),
            cell(Nat::Symmetric, Reach::Direct, Reach::Relayed, 0.5),
        ];
        let table = table(&[Nat::None, Nat::Symmetric], true, &cells);
        assert_eq!(
            table,
            [
                "with TURN                     none         symmetric",
                "none                             -                 -",
                "symmetric                        -                 -",
            ]
        );
        let cone = super::table(&[Nat::Cone, Nat::None, Nat::Symmetric], true, &cells);
        assert_eq!(
            cone[1],
            "cone                             -      direct 1.5 s      1 of 1 WRONG"
        );
    }
}

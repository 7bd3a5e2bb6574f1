//! `sim`: histories of core in a world of failing disks and crashes.

use crate::args::Args;
use crate::command::Command;
use crate::paths;
use crate::sh::{cmd, Context, Result};
use crate::step::Step;

pub const COMMAND: Command = Command {
    name: "sim",
    about: "run core through histories of failing disks and crashes",
    help: "\
usage: ./x sim [--seeds N] [--seed S] [--from S] [--steps N] [--planted BUG] [-v]

Runs the engine in a simulated world: disks that fail, tear, lose and reorder,
crashes at any step, and an oracle that knows what may be read. One seed is one
history and can be run again. Ends at the first promise that is broken.

  --seeds N      run N histories (default 200)
  --seed S       run the history of one seed
  --from S       first seed (default 1)
  --steps N      most steps of a history (default 4000)
  --planted BUG  put a bug into the host, to see it found; their names
                 are in docs/testing.md
  -v             print every event
",
    run,
};

fn run(mut args: Args) -> Result<i32> {
    let mut build = cmd("cargo", ["build", "--quiet", "--release", "--package", "remap-sim"]);
    let step = Step::new("building the simulator").usually("1 minute the first time").shown();
    step.run(build.current_dir(paths::checkout()))?;
    let mut cargo = cmd("cargo", ["run", "--quiet", "--release", "--package", "remap-sim", "--"]);
    cargo.args(args.rest()).current_dir(paths::checkout());
    let status = cargo.status().context(|| "cannot run cargo")?;
    Ok(status.code().unwrap_or(1))
}

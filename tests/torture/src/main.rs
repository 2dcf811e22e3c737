//! `waldo-torture CLASS`: crashes, power losses, failing disks and hostile readers, against the
//! real library on the real system.
//!
//! Each class ends with a row `| fault class | cases | faults injected | violations |`, and with a
//! failure where there were violations.

mod damage;
mod disk;
mod fail;
mod full;
mod geometry;
mod kill;
mod model;
mod note;
mod payload;
mod power;
mod readers;
mod resources;
mod run;
mod session;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Crashes, power losses, failing disks and hostile readers, against the real library.
#[derive(Parser)]
#[command(name = "waldo-torture", version)]
struct Cli {
    #[command(subcommand)]
    class: Class,
}

#[derive(Subcommand)]
enum Class {
    /// Kills a writer process, again and again.
    Kill(kill::Options),
    /// Has a disk lose power, again and again.
    Power(power::Options),
    /// Has calls on a disk fail.
    Fail(fail::Options),
    /// Fills real file systems, makes them read-only, and shuts them down.
    Full(full::Options),
    /// Damages stores at rest in every way.
    Damage(damage::Options),
    /// Stops most of many streams with chunks in their hands.
    Readers(readers::Options),
    /// Takes from a process what a store needs.
    Resources(resources::Options),
    /// The process that has to do without.
    #[command(hide = true)]
    Confined {
        /// What it is to do, and without what.
        task: String,
    },
    /// The process of a disk.
    #[command(hide = true)]
    Disk {
        /// Where it is mounted.
        mount: PathBuf,
        /// How the kernel uses it.
        #[arg(long)]
        caching: disk::Caching,
    },
    /// The writer process.
    #[command(hide = true)]
    Writer {
        /// What it is to do.
        task: String,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().class) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(class: Class) -> anyhow::Result<ExitCode> {
    let row = match class {
        Class::Kill(options) => Ok(kill::run(&options)?),
        Class::Power(options) => power::run(&options)?,
        Class::Fail(options) => fail::run(&options)?,
        Class::Full(options) => full::run(&options)?,
        Class::Damage(options) => Ok(damage::run(&options)?),
        Class::Readers(options) => Ok(readers::run(&options)?),
        Class::Resources(options) => Ok(resources::run(&options)?),
        Class::Confined { task } => {
            resources::run_child(&task)?;
            return Ok(ExitCode::SUCCESS);
        }
        Class::Disk { mount, caching } => {
            disk::serve(&mount, caching)?;
            return Ok(ExitCode::SUCCESS);
        }
        Class::Writer { task } => {
            kill::write(&task)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    Ok(match row {
        Ok(row) => {
            println!("{row}");
            if row.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(disk::Missing(reason)) => {
            println!("| skipped: {reason} | 0 | 0 | 0 |");
            ExitCode::SUCCESS
        }
    })
}

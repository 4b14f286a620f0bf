//! A disk whose power can be cut: what was written but not synced is gone, as after a power failure.
//!
//! It is a file with an ext4 file system in it, mounted through a loop device. What programs write stays in the memory of that file system until it is synced (or until the
//! kernel writes it back by itself, half a minute later); the file holds what has reached the "disk". To cut the power is to stop the program, to copy the file, and to go on
//! with the copy: its journal is replayed as after a real cut. That takes no help of the program, so that it is the same for all. Needs root, loop devices and mkfs.ext4.

use crate::Server;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Under the data directory of one server. Unmounted when dropped; drop the server first.
pub struct Disk {
    image: PathBuf,
    mounted_at: PathBuf,
    cuts: u32,
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let out = Command::new(program).args(args).stdin(Stdio::null()).output().map_err(|e| format!("{program}: {e}"))?;
    if out.status.success() { Ok(()) } else { Err(format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim())) }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}

impl Disk {
    /// An empty disk for a server that was not started yet. None where there can be none (which is said).
    pub fn under(server: &Server, size_mb: u64) -> Option<Disk> {
        let (image, mounted_at) = (server.path().join("disk-0"), server.data());
        let disk = Disk { image, mounted_at, cuts: 0 };
        let file = std::fs::File::create(&disk.image).expect("makes the disk's file");
        file.set_len(size_mb << 20).expect("sets its size");
        drop(file);
        std::fs::create_dir_all(&disk.mounted_at).expect("makes the directory");
        let made = run("mkfs.ext4", &["-q", "-F", text(&disk.image)]).and_then(|()| disk.mount());
        if let Err(why) = made {
            eprintln!("skipped: a disk of its own needs root, loop devices and mkfs.ext4: {why}");
            return None;
        }
        let _ = std::fs::remove_dir(disk.mounted_at.join("lost+found"));
        Some(disk)
    }

    fn mount(&self) -> Result<(), String> {
        // The journal is written when somebody syncs, not every five seconds: nothing changes while the file is copied.
        run("mount", &["-o", "loop,commit=300,nodiscard", text(&self.image), text(&self.mounted_at)])
    }

    /// The server dies, and with it everything that it did not sync. Start it again to see what is left.
    pub fn cut_power(&mut self, server: &mut Server) {
        server.stand_still();
        // What is being synced is done.
        std::thread::sleep(Duration::from_millis(100));
        self.cuts += 1;
        let after = server.path().join(format!("disk-{}", self.cuts));
        run("cp", &["--sparse=always", text(&self.image), text(&after)]).expect("copies the disk");
        server.kill();
        run("umount", &[text(&self.mounted_at)]).expect("unmounts");
        std::fs::remove_file(&self.image).expect("removes the old disk");
        self.image = after;
        self.mount().expect("mounts what is left");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run("umount", &["-l", text(&self.mounted_at)]);
    }
}

//! Where the lanes of uplinks run, how they wait, and where their chance comes from: passed in, so that a simulation can run them all in one thread, in a
//! time of its own, and drop those of a server that it kills.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;
use stdx::rand::Rand;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Something to do until it is done.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

pub trait Tasks: Send + Sync {
    /// Starts what waits for the network only.
    fn spawn(&self, work: Work) -> JoinHandle<()>;
    /// Starts what also reads the disk and may block for it.
    fn spawn_reader(&self, name: &str, work: Work) -> io::Result<()>;
    /// Ends when the time is over.
    fn sleep(&self, time: Duration) -> Work;
    /// A generator of its own for a task.
    fn rand(&self) -> Rand;
}

/// As the program runs them: on its runtime, readers in threads of their own.
#[derive(Clone, Debug)]
pub struct OnRuntime(pub Handle);

impl Tasks for OnRuntime {
    fn spawn(&self, work: Work) -> JoinHandle<()> {
        self.0.spawn(work)
    }

    fn spawn_reader(&self, name: &str, work: Work) -> io::Result<()> {
        let handle = self.0.clone();
        std::thread::Builder::new().name(name.to_string()).spawn(move || handle.block_on(work)).map(|_| ())
    }

    fn sleep(&self, time: Duration) -> Work {
        Box::pin(tokio::time::sleep(time))
    }

    fn rand(&self) -> Rand {
        Rand::from_entropy()
    }
}

//! Where the lanes of uplinks run, how they wait, and where their chance comes from: passed in, so that a simulation can run them all in one thread, in a
//! time of its own, and drop those of a server that it kills.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;
use stdx::rand::Rand;
use stdx::shutdown::Shutdown;
use tokio::runtime::Handle;

/// Something to do until it is done.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

pub trait Tasks: Send + Sync {
    /// Starts what waits for the network only.
    fn start(&self, work: Work);
    /// Starts what also reads the disk and may block for it.
    fn start_reader(&self, name: &str, work: Work) -> io::Result<()>;
    /// Ends when the time is over.
    fn sleep(&self, time: Duration) -> Work;
    /// A generator of its own for a task.
    fn rand(&self) -> Rand;
}

/// Work that was started: whether it is over, and a way to end it.
#[derive(Debug)]
pub(super) struct Task {
    ended: Shutdown,
    abort: Shutdown,
}

/// Sends its signal when it is dropped: however a task ends, its end is told.
struct Ending(Shutdown);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.request();
    }
}

impl Task {
    pub(super) fn start(tasks: &dyn Tasks, work: Work) -> Task {
        let (task, work) = Task::of(work);
        tasks.start(work);
        task
    }

    pub(super) fn start_reader(tasks: &dyn Tasks, name: &str, work: Work) -> io::Result<Task> {
        let (task, work) = Task::of(work);
        tasks.start_reader(name, work).map(|()| task)
    }

    fn of(work: Work) -> (Task, Work) {
        let task = Task { ended: Shutdown::new(), abort: Shutdown::new() };
        let (ending, abort) = (Ending(task.ended.clone()), task.abort.clone());
        let work = async move {
            let _ending = ending;
            tokio::select! {
                biased;
                () = abort.requested() => {}
                () = work => {}
            }
        };
        (task, Box::pin(work))
    }

    pub(super) fn is_over(&self) -> bool {
        self.ended.is_requested()
    }

    /// It goes no further than it is.
    pub(super) fn abort(&self) {
        self.abort.request();
    }

    /// Returns when it is over.
    pub(super) async fn over(&self) {
        self.ended.requested().await;
    }
}

/// As the program runs them: on its runtime, readers in threads of their own.
#[derive(Clone, Debug)]
pub struct OnRuntime(pub Handle);

impl Tasks for OnRuntime {
    fn start(&self, work: Work) {
        self.0.spawn(work);
    }

    fn start_reader(&self, name: &str, work: Work) -> io::Result<()> {
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

use std::io::{ErrorKind, Read as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, IntoRawFd, RawFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use rustix::process::{Pid, PidfdGetfdFlags, Signal, WaitOptions, kill_process, waitpid};
use vigie_core::claim::Proto;
use vigie_core::clock::Mono;
use vigie_core::ports::State;

use super::*;
use crate::clock::mono;
use crate::proc::tests::eventually;

fn soon() -> Mono {
    mono() + Duration::from_secs(60)
}

/// A process that KILL does not end, as long as this lives: who traces it wants to be asked when it ends, and is not
/// (`PTRACE_O_TRACEEXIT`, ptrace(2)). So it has everything that it had. It takes no rights.
struct Ghost {
    pid: Pid,
    tracer: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Ghost {
    /// That holds this.
    fn holding(holds: &Holds) -> (Self, Vec<u16>) {
        let (this, ports) = Self::alive(holds);
        let this = this.traced();
        kill_process(this.pid, Signal::KILL).unwrap();
        let stopped = || {
            let proc = Proc::system().unwrap();
            proc.stat(this.number(), &mut Vec::new()).unwrap().is_some_and(|stat| stat.state == b't')
        };
        eventually("it is stopped at its end", stopped);
        (this, ports)
    }

    /// One that KILL ends.
    fn alive(holds: &Holds) -> (Self, Vec<u16>) {
        let (pid, ports) = hold(holds);
        (Self { pid, tracer: None }, ports)
    }

    fn traced(mut self) -> Self {
        let (stay, until) = channel::<()>();
        let (ready, is_ready) = channel();
        let pid = self.pid.as_raw_nonzero().get();
        // What it traces goes on when this thread ends.
        let thread = std::thread::spawn(move || {
            // SAFETY: seizes a child of this process by plain numbers.
            let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, libc::PTRACE_O_TRACEEXIT) };
            ready.send(seized).unwrap();
            let _ = Receiver::recv(&until);
        });
        assert_eq!(is_ready.recv().unwrap(), 0);
        self.tracer = Some((stay, thread));
        self
    }

    fn number(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    fn key(&self) -> ProcKey {
        Proc::system().unwrap().key(self.number()).unwrap().unwrap()
    }
}

impl Drop for Ghost {
    fn drop(&mut self) {
        let _ = kill_process(self.pid, Signal::KILL);
        if let Some((stay, thread)) = self.tracer.take() {
            drop(stay);
            let _ = thread.join();
        }
        while matches!(waitpid(Some(self.pid), WaitOptions::empty()), Err(Errno::INTR)) {}
    }
}

/// What a child holds that does nothing else.
#[derive(Default)]
struct Holds {
    /// Bytes.
    memory: usize,
    /// Sockets on the loopback address, without any option; those of TCP listen.
    sockets: &'static [(Proto, Bound)],
    /// Its first socket accepts one connection: the one that is made first.
    accepts: bool,
    /// Its main thread ends, and another one has it all.
    leader_ends: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// By a number below those that the kernel gives out by itself.
    ByNumber,
    /// To what the kernel gives.
    Anywhere,
}

/// Makes it. The sockets are made by the child: what this process has, the children of other tests have for a moment too.
fn hold(holds: &Holds) -> (Pid, Vec<u16>) {
    let (ready, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let told = tell.as_raw_fd();
    // SAFETY: the child makes system calls and nothing else, with plain numbers and local values, and never returns.
    let pid = unsafe {
        match libc::fork() {
            0 => {
                if told > 0 {
                    libc::syscall(libc::SYS_close_range, 0, told - 1, 0);
                }
                libc::syscall(libc::SYS_close_range, told + 1, libc::c_uint::MAX, 0);
                let mut life = (holds, told);
                let life: *mut libc::c_void = (&raw mut life).cast();
                if holds.leader_ends {
                    let mut thread = std::mem::zeroed();
                    libc::pthread_create(&raw mut thread, std::ptr::null(), live, life);
                    libc::syscall(libc::SYS_exit, 0);
                }
                live(life);
                libc::_exit(0)
            }
            pid => Pid::from_raw(pid).unwrap(),
        }
    };
    drop(tell);
    let mut ports = Vec::new();
    let mut port = [0; 2];
    for _ in holds.sockets {
        assert_eq!(rustix::io::read(&ready, &mut port[..]), Ok(2));
        ports.push(u16::from_ne_bytes(port));
    }
    if holds.accepts {
        // It waits for the connection before it says that it is ready; the caller has it then.
        CLIENT.with(|client| client.set(TcpStream::connect((Ipv4Addr::LOCALHOST, ports[0])).ok()));
    }
    assert_eq!(rustix::io::read(&ready, &mut port[..]), Ok(2));
    (pid, ports)
}

thread_local! {
    /// The other end of what a child of this test has accepted.
    static CLIENT: std::cell::Cell<Option<TcpStream>> = const { std::cell::Cell::new(None) };
}

/// A thread of the child; it gets what it holds, and where to tell of it.
extern "C" fn live(life: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: it is what `hold` has put there; the stack of a main thread stays when that ends.
    let (holds, told) = unsafe { *life.cast::<(&Holds, RawFd)>() };
    // SAFETY: plain numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    be(holds, told);
    loop {
        // SAFETY: as above.
        unsafe { libc::pause() };
    }
}

/// What it does before it waits for its end.
fn be(holds: &Holds, told: RawFd) {
    let tell = |number: u16| {
        // SAFETY: writes two bytes of a local value.
        unsafe { libc::write(told, number.to_ne_bytes().as_ptr().cast(), 2) };
    };
    let mut first: Option<RawFd> = None;
    for &(proto, how) in holds.sockets {
        let socket = match how {
            Bound::Anywhere => bound(proto, 0, With::Nothing).ok(),
            Bound::ByNumber => {
                let start = 10_000 + u16::try_from(std::process::id() % 20_000).unwrap_or(0);
                (start..32_000).find_map(|port| bound(proto, port, With::Nothing).ok())
            }
        };
        let address = socket.as_ref().and_then(|socket| rustix::net::getsockname(socket).ok());
        tell(
            address
                .and_then(|address| std::net::SocketAddr::try_from(address).ok())
                .map_or(0, |address| address.port()),
        );
        first = first.or(socket.map(IntoRawFd::into_raw_fd));
    }
    if let Some(listener) = first.filter(|_| holds.accepts) {
        // SAFETY: asks for nothing but the descriptor.
        unsafe { libc::accept(listener, std::ptr::null_mut(), std::ptr::null_mut()) };
    }
    if holds.memory > 0 {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: new memory, which nobody uses.
        unsafe { libc::mmap(std::ptr::null_mut(), holds.memory, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    }
    tell(0);
}

/// What a successor does before it binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum With {
    Nothing,
    ReuseAddress,
    ReusePort,
}

fn bound(proto: Proto, port: u16, with: With) -> Result<std::os::fd::OwnedFd, Errno> {
    let kind = if proto == Proto::Tcp { SocketType::STREAM } else { SocketType::DGRAM };
    let socket = socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, with == With::ReuseAddress).unwrap();
    sockopt::set_socket_reuseport(&socket, with == With::ReusePort).unwrap();
    bind(&socket, &std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    if proto == Proto::Tcp {
        listen(&socket, 8)?;
    }
    Ok(socket)
}

/// As [`bound`], when nobody but those who stay is in the way: a child of another test may have a copy of what was just
/// closed here.
fn succeed(proto: Proto, port: u16, with: With) -> std::os::fd::OwnedFd {
    let mut socket = None;
    eventually("it binds", || {
        socket = bound(proto, port, with).ok();
        socket.is_some()
    });
    socket.unwrap()
}

const TCP: &[(Proto, Bound)] = &[(Proto::Tcp, Bound::ByNumber)];
const UDP: &[(Proto, Bound)] = &[(Proto::Udp, Bound::ByNumber)];

fn claim(port: u16, proto: Proto) -> vigie_core::claim::PortClaim {
    format!("127.0.0.1:{port}/{proto}").parse().unwrap()
}

fn take(ghosts: &[ProcKey], port: u16, proto: Proto) -> Port {
    super::port(&Proc::system().unwrap(), ghosts, &claim(port, proto), soon()).unwrap()
}

#[test]
fn memory_is_taken_back() {
    const MUCH: u64 = 64 << 20;
    let proc = Proc::system().unwrap();
    let (ghost, _) = Ghost::holding(&Holds { memory: MUCH as usize, ..Holds::default() });
    let memory = match memory(&proc, &ghost.key(), soon()) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            println!("skipped: {error}");
            return;
        }
        other => other.unwrap(),
    };
    assert!(memory.before >= MUCH, "{memory:?}");
    assert!(memory.after <= memory.before - MUCH, "{memory:?}");
}

#[test]
fn nothing_is_taken_from_who_may_go_on() {
    let proc = Proc::system().unwrap();
    let (alive, ports) = Ghost::alive(&Holds { sockets: TCP, ..Holds::default() });
    let key = alive.key();
    assert_eq!(memory(&proc, &key, soon()).unwrap_err().kind(), ErrorKind::InvalidInput);
    let claim = claim(ports[0], Proto::Tcp);
    let error = super::port(&proc, std::slice::from_ref(&key), &claim, soon()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    TcpStream::connect((Ipv4Addr::LOCALHOST, ports[0])).unwrap();
    drop(alive);
    assert_eq!(memory(&proc, &key, soon()).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(take(&[key], ports[0], Proto::Tcp).taken.is_empty());
}

#[test]
fn a_tcp_port_is_taken_back() {
    let (ghost, ports) = Ghost::holding(&Holds { sockets: TCP, accepts: true, ..Holds::default() });
    let port = ports[0];
    let mut client = CLIENT.take().unwrap();
    let mut waiting = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    for with in [With::Nothing, With::ReuseAddress, With::ReusePort] {
        assert_eq!(bound(Proto::Tcp, port, with).err(), Some(Errno::ADDRINUSE), "{with:?}");
    }
    let now = take(&[ghost.key()], port, Proto::Tcp);
    assert_eq!(now.bindable, Bindable::WithReuse, "{now:?}");
    assert_eq!(now.closing, [0; 0]);
    let of = |state| now.taken.iter().find(|one| one.socket.state == state).map(|one| &one.outcome);
    assert!(matches!(of(State::Listening), Some(Outcome::Silenced)), "{now:?}");
    assert!(matches!(of(State::Connected), Some(Outcome::Released)), "{now:?}");
    for peer in [&mut client, &mut waiting] {
        assert_eq!(peer.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(bound(Proto::Tcp, port, With::Nothing).err(), Some(Errno::ADDRINUSE));
    for with in [With::ReuseAddress, With::ReusePort] {
        let successor = TcpListener::from(succeed(Proto::Tcp, port, with));
        let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let (connection, _) = successor.accept().unwrap();
        // Reset at its end: what is left of a connection that is closed here would be in the way of the next one.
        sockopt::set_socket_linger(&connection, Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn an_udp_port_is_taken_back() {
    let (ghost, ports) = Ghost::holding(&Holds { sockets: UDP, ..Holds::default() });
    let port = ports[0];
    let now = take(&[ghost.key()], port, Proto::Udp);
    assert_eq!(now.bindable, Bindable::WithReuse, "{now:?}");
    assert!(matches!(now.taken[..], [Taken { outcome: Outcome::Silenced, .. }]), "{now:?}");
    assert_eq!(bound(Proto::Udp, port, With::Nothing).err(), Some(Errno::ADDRINUSE));
    for with in [With::ReuseAddress, With::ReusePort] {
        let successor = UdpSocket::from(succeed(Proto::Udp, port, with));
        successor.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // From many ports: none of them is the ghost's share.
        for _ in 0..64 {
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().send_to(b"x", (Ipv4Addr::LOCALHOST, port)).unwrap();
            assert_eq!(successor.recv(&mut [0; 2]).unwrap(), 1, "{with:?}");
        }
    }
}

#[test]
fn a_port_that_was_not_asked_for_by_number_is_free_for_everybody() {
    let sockets = &[(Proto::Tcp, Bound::Anywhere), (Proto::Udp, Bound::Anywhere)];
    let (ghost, ports) = Ghost::holding(&Holds { sockets, ..Holds::default() });
    for ((proto, _), port) in sockets.iter().zip(ports) {
        let now = take(&[ghost.key()], port, *proto);
        assert!(matches!(now.taken[..], [Taken { outcome: Outcome::Released, .. }]), "{now:?}");
        // The kernel gives it to whoever asks for any.
        assert!(matches!(now.bindable, Bindable::Plainly | Bindable::No), "{now:?}");
    }
}

#[test]
fn what_the_living_hold_too_is_left_alone() {
    let (ghost, ports) = Ghost::holding(&Holds { sockets: TCP, ..Holds::default() });
    let proc = Proc::system().unwrap();
    let target = Target::open(&proc, &ghost.key()).unwrap().unwrap();
    let socket = rustix::process::pidfd_getfd(&target, 0, PidfdGetfdFlags::empty()).unwrap();
    let now = take(&[ghost.key()], ports[0], Proto::Tcp);
    assert_eq!(now.bindable, Bindable::No);
    // And whatever another test forks at this moment.
    let own = std::process::id();
    let shared = matches!(&now.taken[..], [Taken { outcome: Outcome::Shared(by), .. }] if by.contains(&own));
    assert!(shared, "{now:?}");
    TcpStream::connect((Ipv4Addr::LOCALHOST, ports[0])).unwrap();
    rustix::net::accept(&socket).unwrap();
}

#[test]
fn who_closes_its_descriptors_shows_none() {
    let fake = crate::proc::tests::FakeProc::new(true);
    for (pid, threads) in [(10, [10, 11]), (20, [20, 21])] {
        for thread in threads {
            fake.folder(&format!("{pid}/task/{thread}/fd"));
        }
    }
    fake.link("20/task/21/fd/3", "socket:[7]");
    let proc = fake.open();
    assert_eq!([10, 20, 30].map(|pid| port::shows_nothing(&proc, pid)), [true, false, false]);
}

/// Such a process shows no descriptors of its own; its threads have them.
#[test]
fn a_socket_is_reached_through_a_thread() {
    let (alive, ports) = Ghost::alive(&Holds { sockets: TCP, leader_ends: true, ..Holds::default() });
    let proc = Proc::system().unwrap();
    let ended = || proc.stat(alive.number(), &mut Vec::new()).unwrap().is_some_and(|stat| stat.state == b'Z');
    eventually("the main thread has ended", ended);
    let sockets = crate::inet::sockets(&proc, Some(ports[0])).unwrap();
    let listener = sockets.iter().find(|one| one.state == State::Listening).unwrap();
    match port::reach(&proc, std::iter::once(alive.number()), listener) {
        Ok(reach @ socket::Reach::Descriptor { .. }) => assert_eq!(socket::take(&reach), Ok(1)),
        // Then it is destroyed by its name.
        Ok(socket::Reach::Named(_)) => return println!("skipped: threads have descriptors since Linux 6.9"),
        Err(error) => panic!("{error}"),
    }
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, ports[0])).is_err());
}

/// The way for sockets whose descriptor cannot be had.
#[test]
fn a_listener_is_destroyed_by_what_the_kernel_calls_it() {
    if crate::user::uid() != 0 {
        println!("skipped: destroying a socket needs root");
        return;
    }
    let proc = Proc::system().unwrap();
    for had_set_it in [false, true] {
        let (alive, ports) = Ghost::alive(&Holds { sockets: TCP, ..Holds::default() });
        let port = ports[0];
        let target = Target::open(&proc, &alive.key()).unwrap().unwrap();
        let socket = rustix::process::pidfd_getfd(&target, 0, PidfdGetfdFlags::empty()).unwrap();
        sockopt::set_socket_reuseaddr(&socket, had_set_it).unwrap();
        drop(socket);
        let sockets = crate::inet::sockets(&proc, Some(port)).unwrap();
        let listener = sockets.iter().find(|one| one.state == State::Listening).unwrap();
        let identity = crate::inet::identity(listener).unwrap();
        let request = socket::destroy_request(listener, &identity);
        match socket::take(&socket::Reach::Named(request)) {
            // A kernel without CONFIG_INET_DIAG_DESTROY.
            Err((_, Errno::OPNOTSUPP)) => return println!("skipped: this kernel cannot destroy sockets"),
            other => assert_eq!(other, Ok(1)),
        }
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
        assert_eq!(bound(Proto::Tcp, port, With::Nothing).err(), Some(Errno::ADDRINUSE));
        if had_set_it {
            succeed(Proto::Tcp, port, With::ReuseAddress);
        } else {
            assert_eq!(bound(Proto::Tcp, port, With::ReuseAddress).err(), Some(Errno::ADDRINUSE));
        }
        // It means that socket, and no other that has its address.
        drop(alive);
        let successor = succeed(Proto::Tcp, port, With::ReuseAddress);
        assert_eq!(socket::take(&socket::Reach::Named(request)).map_err(|(_, errno)| errno), Err(Errno::NOENT));
        drop(successor);
    }
}

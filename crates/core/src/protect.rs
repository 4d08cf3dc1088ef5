//! Which processes vigie never ends by itself, whatever they look like (R4.5): itself and where it comes from, what keeps
//! the machine and the session going, and bystanders that only mention what they look at.

use std::fmt;
use std::path::Path;

use crate::recognise::base_name;
use crate::text::OsText;

/// What must be known of a process.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Its number.
    pub pid: u32,
    /// Its effective user.
    pub uid: u32,
    /// It is a thread of the kernel.
    pub kernel: bool,
    /// It is the first process of a PID namespace, as far as that can be seen.
    pub init: bool,
    /// `/proc/PID/exe`; absent when it could not be read.
    pub executable: Option<&'a Path>,
    /// What it calls itself. Asked only where there is no executable to be seen.
    pub name: &'a [u8],
    /// Program and arguments.
    pub argv: &'a [OsText],
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The number of this process.
    pub pid: u32,
    /// Its parent, the parent of that, and so on.
    pub ancestors: &'a [u32],
    /// Its effective user. For root nobody is "another user".
    pub uid: u32,
}

/// Why a process is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// This command itself.
    Ourselves,
    /// This command was started by it, or by what it has started.
    Ancestor,
    /// A thread of the kernel.
    Kernel,
    /// The first process of the machine or of a container.
    Init,
    /// A keeper, a daemon or a command of vigie.
    Vigie,
    /// It belongs to another user.
    OtherUser,
    /// It keeps the machine going: logins, devices, time, names.
    System,
    /// It keeps a session going: desktop, display, sound, terminals.
    Session,
    /// It runs containers; what is in them ends with it.
    Containers,
    /// It edits, shows or searches: what it names is not what it is.
    Bystander,
    /// A shell: what is typed there is not what it is. One that runs a script is not meant.
    Shell,
}

impl Protection {
    /// Only a look-alike is protected from: what is proven to be the very program of a service is not. The others are
    /// never ended, whatever they are.
    pub fn yields_to_proof(self) -> bool {
        matches!(self, Self::Bystander | Self::Shell)
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ourselves => "it is this command itself",
            Self::Ancestor => "this command runs below it",
            Self::Kernel => "it is a thread of the kernel",
            Self::Init => "it is the first process of the machine or of a container",
            Self::Vigie => "it is vigie's own",
            Self::OtherUser => "it belongs to another user",
            Self::System => "the machine needs it",
            Self::Session => "a session needs it",
            Self::Containers => "containers need it",
            Self::Bystander => "it only looks at what it names",
            Self::Shell => "it is a shell",
        })
    }
}

const SYSTEM: &[&str] = &[
    "systemd",
    "init",
    "runit",
    "runsvdir",
    "s6-svscan",
    "s6-supervise",
    "openrc",
    "dinit",
    "launchd",
    "login",
    "agetty",
    "getty",
    "sshd",
    "sshd-session",
    "dropbear",
    "su",
    "sudo",
    "doas",
    "polkitd",
    "udevd",
    "systemd-udevd",
    "systemd-journald",
    "systemd-logind",
    "systemd-resolved",
    "systemd-networkd",
    "systemd-timesyncd",
    "rsyslogd",
    "cron",
    "crond",
    "atd",
    "dbus-daemon",
    "dbus-broker",
    "dbus-broker-launch",
    "NetworkManager",
    "wpa_supplicant",
    "dhclient",
    "chronyd",
    "ntpd",
    "nscd",
    "sssd",
    "rpcbind",
    "auditd",
    "irqbalance",
    "udisksd",
    "upowerd",
    "accounts-daemon",
    "multipathd",
    "cupsd",
];

const SESSION: &[&str] = &[
    "Xorg",
    "X",
    "Xwayland",
    "Xvfb",
    "Xvnc",
    "gdm",
    "gdm3",
    "sddm",
    "lightdm",
    "gnome-shell",
    "gnome-session-binary",
    "plasmashell",
    "kwin_x11",
    "kwin_wayland",
    "ksmserver",
    "xfce4-session",
    "xfwm4",
    "cinnamon",
    "mate-session",
    "sway",
    "Hyprland",
    "weston",
    "i3",
    "openbox",
    "pipewire",
    "wireplumber",
    "pulseaudio",
    "gpg-agent",
    "ssh-agent",
    "gnome-keyring-daemon",
    "gnome-terminal-server",
    "konsole",
    "xterm",
    "alacritty",
    "kitty",
    "wezterm-gui",
    "foot",
    "tmux",
    "screen",
    "zellij",
    "dtach",
    "abduco",
    "mosh-server",
    "script",
    "expect",
];

const CONTAINERS: &[&str] = &[
    "dockerd",
    "docker",
    "docker-proxy",
    "containerd",
    "containerd-shim",
    "containerd-shim-runc-v2",
    "runc",
    "crun",
    "podman",
    "conmon",
    "buildkitd",
    "cri-o",
    "crio",
    "kubelet",
    "lxc-start",
    "lxd",
    "incusd",
    "rootlesskit",
    "slirp4netns",
    "pasta",
    "bwrap",
    "flatpak",
];

const BYSTANDERS: &[&str] = &[
    "vi",
    "vim",
    "vim.basic",
    "vim.tiny",
    "vim.gtk3",
    "nvim",
    "view",
    "nano",
    "rnano",
    "pico",
    "emacs",
    "emacs-nox",
    "emacs-gtk",
    "emacsclient",
    "ed",
    "ex",
    "joe",
    "jed",
    "mcedit",
    "mc",
    "micro",
    "hx",
    "helix",
    "kak",
    "ne",
    "code",
    "codium",
    "code-server",
    "cursor",
    "zed",
    "zed-editor",
    "subl",
    "sublime_text",
    "gedit",
    "gnome-text-editor",
    "kate",
    "kwrite",
    "geany",
    "mousepad",
    "xed",
    "pluma",
    "idea",
    "idea64",
    "pycharm",
    "pycharm64",
    "webstorm",
    "clion",
    "goland",
    "rustrover",
    "grep",
    "egrep",
    "fgrep",
    "rg",
    "ag",
    "ack",
    "ugrep",
    "fzf",
    "find",
    "fd",
    "fdfind",
    "locate",
    "pgrep",
    "pkill",
    "ps",
    "top",
    "htop",
    "btop",
    "atop",
    "lsof",
    "fuser",
    "strace",
    "ltrace",
    "gdb",
    "lldb",
    "perf",
    "less",
    "more",
    "most",
    "bat",
    "batcat",
    "cat",
    "tac",
    "head",
    "tail",
    "sed",
    "awk",
    "gawk",
    "mawk",
    "sort",
    "wc",
    "diff",
    "colordiff",
    "delta",
    "vimdiff",
    "meld",
    "cp",
    "mv",
    "rsync",
    "scp",
    "git",
    "tig",
    "lazygit",
    "xdg-open",
    "man",
    "watch",
    "inotifywait",
    "file",
    "stat",
    "ls",
    "wl-copy",
    "xclip",
];

const SHELLS: &[&str] = &[
    "sh", "bash", "dash", "ash", "zsh", "ksh", "ksh93", "mksh", "fish", "tcsh", "csh", "nu", "elvish", "xonsh", "pwsh",
];

/// Why a process is protected, when it is.
pub fn protection(facts: &Facts<'_>, asker: &Asker<'_>) -> Option<Protection> {
    let name =
        facts.executable.map_or(facts.name, |path| base_name(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())));
    let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
    let among = |list: &[&str]| list.iter().any(|known| known.as_bytes() == name);
    if facts.pid == asker.pid {
        Some(Protection::Ourselves)
    } else if facts.pid <= 1 || facts.init {
        Some(Protection::Init)
    } else if facts.kernel {
        Some(Protection::Kernel)
    } else if asker.ancestors.contains(&facts.pid) {
        Some(Protection::Ancestor)
    } else if among(&["vigie", "vigie-keeper"]) {
        Some(Protection::Vigie)
    } else if facts.uid != asker.uid && asker.uid != 0 {
        Some(Protection::OtherUser)
    } else if among(SYSTEM) {
        Some(Protection::System)
    } else if among(SESSION) {
        Some(Protection::Session)
    } else if among(CONTAINERS) {
        Some(Protection::Containers)
    } else if among(BYSTANDERS) {
        Some(Protection::Bystander)
    } else if among(SHELLS) && !runs_a_script(facts.argv) {
        Some(Protection::Shell)
    } else {
        None
    }
}

/// Whether a shell with these arguments runs a file, and not what is typed or handed to it.
fn runs_a_script(argv: &[OsText]) -> bool {
    let arguments = argv.get(1..).unwrap_or_default();
    crate::recognise::shell_script(arguments).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(executable: &str, line: &str, pid: u32, uid: u32, asker_uid: u32) -> Option<Protection> {
        let argv: Vec<OsText> = line.split_whitespace().map(OsText::from).collect();
        let executable = Some(Path::new(executable));
        let facts = Facts { pid, uid, kernel: false, init: false, executable, name: b"", argv: &argv };
        protection(&facts, &Asker { pid: 10, ancestors: &[9, 8, 1], uid: asker_uid })
    }

    #[test]
    fn who_is_protected() {
        for (executable, line, pid, uid, wanted) in [
            ("/usr/bin/python3.11", "python3 server.py", 10, 1000, Some(Protection::Ourselves)),
            ("/usr/bin/python3.11", "python3 server.py", 9, 1000, Some(Protection::Ancestor)),
            ("/usr/bin/python3.11", "python3 server.py", 1, 1000, Some(Protection::Init)),
            ("/usr/bin/python3.11", "python3 server.py", 50, 1001, Some(Protection::OtherUser)),
            ("/usr/bin/python3.11", "python3 server.py", 50, 1000, None),
            ("/usr/local/bin/vigie", "vigie up", 50, 1000, Some(Protection::Vigie)),
            ("/opt/vigie-keeper (deleted)", "vigie-keeper", 50, 1000, Some(Protection::Vigie)),
            ("/usr/sbin/sshd", "sshd: ana [priv]", 50, 1000, Some(Protection::System)),
            ("/usr/bin/gnome-shell", "gnome-shell", 50, 1000, Some(Protection::Session)),
            ("/usr/bin/tmux", "tmux", 50, 1000, Some(Protection::Session)),
            ("/usr/bin/dockerd", "dockerd", 50, 1000, Some(Protection::Containers)),
            ("/usr/bin/vim.basic", "vim server.py", 50, 1000, Some(Protection::Bystander)),
            ("/usr/bin/grep", "grep server.py", 50, 1000, Some(Protection::Bystander)),
            ("/usr/bin/bash", "bash", 50, 1000, Some(Protection::Shell)),
            ("/usr/bin/bash", "-bash", 50, 1000, Some(Protection::Shell)),
            ("/usr/bin/dash", "sh -c server.py", 50, 1000, Some(Protection::Shell)),
            ("/usr/bin/bash", "bash run.sh", 50, 1000, None),
            ("/srv/vim-plugin-server", "vim-plugin-server", 50, 1000, None),
        ] {
            assert_eq!(of(executable, line, pid, uid, 1000), wanted, "{executable}: {line}");
        }
        assert_eq!(of("/srv/api", "api", 50, 1001, 0), None, "for root nobody is another user");
    }

    #[test]
    fn what_has_no_executable() {
        let argv = [];
        let facts =
            Facts { pid: 50, uid: 0, kernel: true, init: false, executable: None, name: b"kworker", argv: &argv };
        let asker = Asker { pid: 10, ancestors: &[], uid: 0 };
        assert_eq!(protection(&facts, &asker), Some(Protection::Kernel));
        assert_eq!(protection(&Facts { kernel: false, init: true, ..facts }, &asker), Some(Protection::Init));
        let hidden = Facts { kernel: false, name: b"sshd", ..facts };
        assert_eq!(protection(&hidden, &asker), Some(Protection::System), "its name is all that can be seen");
    }

    #[test]
    fn what_proof_overrules() {
        assert!(Protection::Bystander.yields_to_proof() && Protection::Shell.yields_to_proof());
        for firm in [Protection::Ourselves, Protection::Ancestor, Protection::System, Protection::OtherUser] {
            assert!(!firm.yields_to_proof(), "{firm}");
        }
    }
}

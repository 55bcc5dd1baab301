"""What people type: the command ``domstats``, as click reads it.

It must not know how errors are shown, nor exit statuses but its own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Optional

import click

from .. import __version__
from ..config.telegraf import seconds
from ..errors import ConfigError
from ..model import GROUPS
from ..shown import say, write
from . import completion


def obey(arguments: Sequence[str]) -> int:
    """Obey a command line.

    :return: the exit status.
    :raises ConfigError: wrong usage.
    """
    try:
        with domstats.make_context("domstats", list(arguments or ["--help"])) as context:
            status = domstats.invoke(context)
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "domstats"
        raise ConfigError(f"{error.format_message()} (see {command} --help)") from None
    except click.ClickException as error:
        raise ConfigError(error.format_message()) from None
    except click.Abort:
        raise KeyboardInterrupt from None


def complete(instruction: str) -> int:
    """Print what a shell has asked for, to complete a command line.

    :return: the exit status.
    :raises ConfigError: this is no instruction.
    """
    return completion.complete(domstats, "domstats", instruction)


def _print_versions(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from ..hypervisor.connection import library_version  # libvirt takes its time

    click.echo(f"domstats, version {__version__}")
    click.echo(f"Python {sys.version.split()[0]} ({sys.executable})")
    click.echo(f"libvirt {library_version() or 'is not there: its Python binding is missing'}")
    context.exit()


def _to_seconds(
    context: click.Context, parameter: click.Parameter, text: Optional[str]
) -> Optional[float]:
    """A time as in the configuration: 10, 0.5, 500ms, 1m30s."""
    try:
        return None if text is None else seconds(text)
    except ConfigError as error:
        raise click.BadParameter(str(error), context, parameter) from None


# --- Options that several commands have ---------------------------------------------------------

_CONNECT = click.option(
    "--connect",
    "uris",
    multiple=True,
    metavar="URI",
    shell_complete=completion.uris,
    help="A hypervisor. Repeatable.",
)
_DOMAIN = click.option(
    "--domain",
    "domains",
    multiple=True,
    metavar="WHICH",
    help="Only this domain: a name, a uuid, or a /regular expression/. Repeatable.",
)
_INTERVAL = click.option(
    "--interval",
    callback=_to_seconds,
    default="2",
    show_default=True,
    metavar="S",
    help="Seconds from the beginning of a round to that of the next.",
)


# --- The commands -------------------------------------------------------------------------------


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_versions,
    help="Show the versions of domstats, Python and libvirt, and exit.",
)
def domstats() -> None:
    """What every virtual machine of a libvirt hypervisor does, for collectd and Telegraf."""


@domstats.command()
@click.option(
    "--config",
    "path",
    required=True,
    metavar="FILE",
    shell_complete=completion.files,
    help="What is sampled: TOML with [[inputs.libvirt]] tables.",
)
@click.option(
    "--interval",
    callback=_to_seconds,
    metavar="S",
    help="Make a round every S seconds, instead of at each line on stdin.",
)
def telegraf(path: str, interval: Optional[float]) -> int:
    """Run as a child of Telegraf's inputs.execd, which starts it.

    Without --interval, each line on stdin makes a round. Its points go to stdout, the log goes to
    stderr. It ends at the end of stdin.
    """
    from ..agents import telegraf_child  # libvirt takes its time

    return telegraf_child.run(path, interval)


# --- Samples without an agent -------------------------------------------------------------------


@domstats.command("sample")
@_CONNECT
@click.option(
    "--config",
    "path",
    metavar="FILE",
    shell_complete=completion.files,
    help="Sample what an agent samples with this configuration: Telegraf's domstats.toml or a"
    " collectd.conf.",
)
@_DOMAIN
@click.option(
    "--group",
    "groups",
    multiple=True,
    type=click.Choice(GROUPS),
    metavar="GROUP",
    help=f"Ask for this stats group only: {', '.join(GROUPS)}. Repeatable.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "influx", "json"]),
    default="table",
    show_default=True,
    help="influx: the lines that Telegraf gets. json: an object for each round and hypervisor.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="N",
    help="0: until Ctrl-C; the table is redrawn in place.",
)
@_INTERVAL
@click.option(
    "--deadline",
    callback=_to_seconds,
    metavar="S",
    help="End a round after S seconds with what it has. Default: that of the configuration, else"
    " 9; with several rounds nine tenths of the interval, and 2 at least.",
)
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Log on stderr who is asked for what, and how long it took.",
)
def sample(
    uris: tuple[str, ...],
    path: Optional[str],
    domains: tuple[str, ...],
    groups: tuple[str, ...],
    format_: str,
    rounds: int,
    interval: float,
    deadline: Optional[float],
    verbose: bool,
) -> int:
    """Sample hypervisors and show what every domain does.

    Without --connect and --config it is the local hypervisor, qemu:///system. If that does not
    answer, domains of libvirt's built-in test driver are shown, and it is said that they are not
    real.

    The first round shows totals since each domain was started; the rounds after it show rates.

    Exit status: 0. 1 if no hypervisor could be sampled, no domain matches, or the domains are not
    real and the output is no terminal. 2 for a mistake in usage or configuration. 130 after Ctrl-C.
    """
    from . import sample_command  # the library takes its time

    if uris and path is not None:
        raise click.UsageError(
            "--connect and --config exclude each other: the configuration names its hypervisors"
            " itself; leave one of them out"
        )
    return sample_command.run(
        sample_command.Wanted(
            uris, path or "", domains, groups, deadline, format_, rounds, interval, verbose
        )
    )


@domstats.command()
@_CONNECT
@click.option(
    "--config",
    "path",
    metavar="FILE",
    shell_complete=completion.files,
    help="The hypervisors of Telegraf's domstats.toml or of a collectd.conf.",
)
@_DOMAIN
@_INTERVAL
def top(
    uris: tuple[str, ...], path: Optional[str], domains: tuple[str, ...], interval: float
) -> int:
    """Show what every domain does, on the whole terminal, until q.

    Without --connect and --config it is the local hypervisor, qemu:///system. Domains that do not
    answer stand first. h shows the keys.
    """
    from . import sample_command, top_command  # the library takes its time

    if uris and path is not None:
        raise click.UsageError("--connect and --config exclude each other: leave one of them out")
    return top_command.run(
        sample_command.Wanted(uris, path or "", domains, interval=interval, rounds=0)
    )


@domstats.command()
@click.option(
    "--config",
    "path",
    metavar="FILE",
    shell_complete=completion.files,
    help="Telegraf's domstats.toml or a collectd.conf. Default: those at their usual places.",
)
@click.option(
    "--connect",
    "uris",
    multiple=True,
    metavar="URI",
    shell_complete=completion.uris,
    help="A hypervisor, with the defaults. Repeatable.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one object with status, verdict, sections and findings.",
)
def check(path: Optional[str], uris: tuple[str, ...], format_: str) -> int:
    """Say whether all is as it should be, and what to do where not.

    Reads the agent's configuration, makes some rounds, measures what each group costs, looks at
    what this user cannot see, and whether the agent itself will find domstats. To see it as
    Telegraf's user does: sudo -u telegraf domstats check.

    Exit status: 0 if all is fine, 1 if it works with findings, 2 if it does not work.
    """
    from . import check_command  # the library takes its time

    if uris and path is not None:
        raise click.UsageError("--connect and --config exclude each other: leave one of them out")
    return check_command.run(check_command.Wanted(path or "", uris, format_))


# --- On and off ---------------------------------------------------------------------------------

_AGENT = click.argument("agent", type=click.Choice(["collectd", "telegraf"]))
_NO_RESTART = click.option(
    "--no-restart",
    is_flag=True,
    help="Leave it to you to restart the agent.",
)


@domstats.command()
@_AGENT
@_NO_RESTART
def enable(agent: str, no_restart: bool) -> int:
    """Switch domstats on in an agent, once installed as a package.

    The package, collectd-domstats or telegraf-domstats, has put a configuration there that the
    agent passes over. This makes a link to it, under a name that the agent reads, and restarts the
    agent if it runs. `domstats check` then says whether all is as it should be.

    Exit status: 0, also if it was on already. 1 if the agent could not be restarted. 2 if it could
    not be switched on.
    """
    from . import switch

    click.echo(switch.enable(agent))
    return _restart(agent, no_restart)


@domstats.command()
@_AGENT
@_NO_RESTART
def disable(agent: str, no_restart: bool) -> int:
    """Switch domstats off in an agent.

    Removes the link that enable has made, and restarts the agent if it runs. The configuration
    stays, for the next time.

    Exit status: 0, also if it was off already. 1 if the agent could not be restarted. 2 if it could
    not be switched off.
    """
    from . import switch

    click.echo(switch.disable(agent))
    return _restart(agent, no_restart)


def _restart(agent: str, no_restart: bool) -> int:
    if no_restart:
        return 0
    from . import switch

    is_well, text = switch.restart(agent)
    click.echo(text, err=not is_well)
    return 0 if is_well else 1


# --- What there is to know ----------------------------------------------------------------------


@domstats.command()
@click.argument("agent", type=click.Choice(["collectd", "telegraf"]))
@click.option("--execd", is_flag=True, help="The part that goes into Telegraf's own configuration.")
def config(agent: str, execd: bool) -> None:
    """Print a ready configuration, with every option explained.

    It works as it is with the domstats that prints it.
    """
    from ..config import pages
    from . import installed

    if agent == "collectd" and execd:
        raise click.UsageError("--execd is for telegraf: domstats config telegraf --execd")
    if agent == "collectd":
        paths, warning = installed.for_collectd()
        text = pages.collectd_conf(paths)
    elif execd:
        command, python_path, warning = installed.for_telegraf()
        text = pages.telegraf_execd(command, python_path)
    else:
        text, warning = pages.telegraf_toml(), ""
    write(text.encode("utf-8", "surrogateescape"))
    if warning:
        say(warning)


@domstats.command()
@click.option("--agent", type=click.Choice(["collectd", "telegraf"]), help="Only this agent's.")
@click.option(
    "--config",
    "path",
    metavar="FILE",
    shell_complete=completion.files,
    help="Sample with this configuration, Telegraf's domstats.toml or a collectd.conf, and count"
    " the series that it makes here.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="With --config. json: an object for each hypervisor, with every domain.",
)
def metrics(agent: Optional[str], path: Optional[str], format_: str) -> int:
    """Print every metric that can be sent, as a table. With --config, count what is made here.

    A series is what a database keeps over time: a field of a line of Telegraf's, a data source of a
    value list of collectd's. They are counted by measurement (or type) and by domain, from two
    rounds of the hypervisors that the configuration names.

    Exit status: 0. 1 if no hypervisor could be sampled. 2 for a mistake in usage or configuration.
    """
    if path is not None:
        if agent is not None:
            raise click.UsageError(
                "--agent and --config exclude each other: the file is an agent's own"
            )
        from . import count_command  # the library takes its time

        return count_command.run(path, format_)
    if format_ != "table":
        raise click.UsageError("--format is for --config")
    from ..output.metrics_table import metrics as all_metrics
    from .table import print_rows

    titles = (
        "Agent", "Metric", "From", "Type", "Kind", "Unit", "What it is", "Only with",
        "Cost", "Since",
    )  # fmt: skip
    print_rows(titles, (row for row in all_metrics() if agent in (None, row.agent)), sys.stdout)
    sys.stdout.flush()
    return 0

"""One description of a query, in the languages of the databases.

Telegraf's output for InfluxDB keeps measurements, tags and fields. The one for Prometheus makes a
metric of measurement and field, and labels of the tags. So both follow from one description.
collectd has names of its own: Graphite's targets are written by hand.
"""

from __future__ import annotations

from typing import NamedTuple

DOMAIN = "domain_name"


class Query(NamedTuple):
    """Fields of a measurement over time, for each host and each combination of tags.

    :ivar fields: each as the database has it, and as the legend shows it.
    :ivar reduce: what counts of several values in an interval.
    :ivar join: what is made of series that ``tags`` do not tell apart: nothing if there are none;
        ``max`` is the largest; ``sum`` adds up the last values of a host's domains.
    :ivar where: a tag and the value that it must have; of an empty one, that it must be there.
    """

    measurement: str
    fields: tuple[tuple[str, str], ...]
    tags: tuple[str, ...] = ()
    reduce: str = "last"
    join: str = ""
    where: tuple[str, str] = ("", "")

    def influxql(self) -> tuple[str, str]:
        """The query, with Grafana's variables, and how its series are called."""
        if self.join == "sum":
            return self._sum()
        values = ", ".join(f'{self.reduce}("{field}") AS "{name}"' for field, name in self.fields)
        groups = "".join(f', "{tag}"' for tag in ("host", *self.tags))
        of_domain = f""" AND "{DOMAIN}" =~ /^$domain$/""" if DOMAIN in self.tags else ""
        tag, value = self.where
        compare = "=" if value else "<>"
        chosen = f""" AND "{tag}" {compare} '{value}'""" if tag else ""
        query = (
            f'SELECT {values} FROM "{self.measurement}" WHERE $timeFilter AND "host" =~ /^$host$/'
            f"{of_domain}{chosen} GROUP BY time($__interval){groups} fill(null)"
        )
        words = [f"$tag_{tag}" for tag in self._shown()]
        return query, " ".join(["$col"] * (len(self.fields) > 1) + words)

    def _sum(self) -> tuple[str, str]:
        [(field, _name)] = self.fields
        query = (
            f'SELECT sum("each") FROM (SELECT last("{field}") AS "each" FROM "{self.measurement}"'
            f' WHERE $timeFilter AND "host" =~ /^$host$/ GROUP BY time($__interval), "host",'
            f' "{DOMAIN}") WHERE $timeFilter GROUP BY time($__interval), "host" fill(none)'
        )
        return query, "$tag_host"

    def promql(self) -> list[tuple[str, str]]:
        """For each field the expression, likewise, and how its series are called."""
        choice = ['host=~"$host"']
        if DOMAIN in self.tags:
            choice.append(f'{DOMAIN}=~"$domain"')
        tag, value = self.where
        if tag:
            choice.append(f'{tag}{"=" if value else "!="}"{value}"')
        found = []
        for field, name in self.fields:
            expression = f"{self.measurement}_{field}{{{','.join(choice)}}}"
            if self.join:
                expression = f"{self.join} by ({', '.join(('host', *self.tags))}) ({expression})"
            words = [f"{{{{{tag}}}}}" for tag in self._shown()]
            found.append((expression, " ".join([name] * (len(self.fields) > 1) + words)))
        return found

    def _shown(self) -> tuple[str, ...]:
        return self.tags if DOMAIN in self.tags else ("host", *self.tags)


def fields(*names: str) -> tuple[tuple[str, str], ...]:
    """Fields that are shown under their own names."""
    return tuple((name, name) for name in names)


def of_round(*names: str, reduce: str = "max") -> Query:
    return Query("domstats_round", fields(*names), ("hypervisor",), reduce)


def of_host(*names: str) -> Query:
    return Query("domstats_host", fields(*names))


def of_domain(
    measurement: str, *shown: str, tags: tuple[str, ...] = (), reduce: str = "mean"
) -> Query:
    """``shown``: each field, or field=name."""
    pairs = (each.partition("=") for each in shown)
    return Query(
        measurement,
        tuple((field, name or field) for field, _, name in pairs),
        (DOMAIN, *tags),
        reduce,
    )


def on_host(*metrics: str) -> tuple[str, ...]:
    """Graphite's targets of what collectd sends of its own host."""
    return tuple(f"aliasByNode($prefix$host.domstats.{metric}, -3, -1)" for metric in metrics)


def of_guest(*metrics: str, plugin: str = "domstats") -> tuple[str, ...]:
    """Of what it sends of a guest, which is a host to Graphite."""
    return tuple(f"aliasByNode($prefix$domain.{plugin}.{metric}, -3, -1)" for metric in metrics)


def of_values(metric: str, *sources: str) -> tuple[str, ...]:
    """Of a type with several values: each is a node more."""
    return tuple(
        f"aliasByNode($prefix$domain.virt.{metric}.{source}, -4, -2, -1)" for source in sources
    )

"""When a schedule of Azure runs: what is wrong with a trigger in a file, and when a trigger fires next.

It reads triggers as files write them (`time_zone`) and as Azure answers them (`timeZone`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from notebooks_lib.azure.project_files import time_zones
from notebooks_lib.azure.project_files.file_faults import KeyPath
from notebooks_lib.azure.project_files.file_kinds import whole_number
from notebooks_lib.azure.project_files.time_zones import UTC as UTC_NAME

WEEK_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SEARCHED_DAYS = 4 * 366
"""How far ahead a next run is looked for."""
_CRON_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""The days of a week in a cron expression, from 0."""
_CRON_FIELDS = ("minute", "hour", "day", "month", "day of the week")
_LIMITS = {"hours": (0, 23), "minutes": (0, 59), "month_days": (1, 31)}
_STEPS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(1), "week": timedelta(7)}
_LONGEST = {
    "minute": SEARCHED_DAYS * 24 * 60,
    "hour": SEARCHED_DAYS * 24,
    "day": SEARCHED_DAYS,
    "week": SEARCHED_DAYS // 7,
    "month": 48,
}
"""The intervals of four years."""
_IGNORED = (2, 3)
"""The fields of a cron expression that Azure ignores: it runs on every day and in every month."""


@dataclass(frozen=True)
class Trigger:
    """A trigger: a cron expression, or a recurrence. Two triggers that run at the same times may still differ."""

    time_zone: str
    start: datetime | None
    end: datetime | None
    expression: str = ""
    """Of a cron trigger, as the next fields are of a recurrence."""
    frequency: str = ""
    interval: int = 1
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    week_days: tuple[str, ...] = ()
    month_days: tuple[int, ...] = ()

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Trigger:
        """Return the trigger that a file or Azure describes. Raises ValueError for one that `faults` refuses."""
        values = {_snake(key): value for key, value in document.items()}
        pattern = {_snake(key): value for key, value in (values.get("schedule") or {}).items()}
        name = str(values.get("time_zone") or UTC_NAME)
        zone = time_zones.zone(name) or ZoneInfo(UTC_NAME)
        return cls(
            time_zone=name.casefold(),
            start=read_time(values["start_time"], zone) if values.get("start_time") else None,
            end=read_time(values["end_time"], zone) if values.get("end_time") else None,
            expression=" ".join(str(values.get("expression") or "").lower().split()),
            frequency=str(values.get("frequency") or "").lower(),
            interval=int(values.get("interval") or 1),
            hours=tuple(sorted(map(int, listed(pattern.get("hours"))))),
            minutes=tuple(sorted(map(int, listed(pattern.get("minutes"))))),
            week_days=tuple(sorted(str(day).lower() for day in listed(pattern.get("week_days")))),
            month_days=tuple(sorted(map(int, listed(pattern.get("month_days"))))),
        )

    def next_run(self, after: datetime, created: datetime) -> datetime | None:
        """Return when it fires next after a moment, for a schedule that was `created` then; None if it never does."""
        zone = time_zones.zone(self.time_zone) or ZoneInfo(UTC_NAME)
        begin = (self.start or created).astimezone(zone)
        earliest = max(after, self.start or after).astimezone(zone)
        runs = self._days(begin, earliest, zone) if self.expression or self.hours else self._steps(begin, earliest)
        run = next((run for run in runs if run > after and run >= (self.start or run)), None)
        return None if run is None or (self.end is not None and run > self.end) else run

    def _days(self, begin: datetime, earliest: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """Yield the times of day on which it fires, day by day."""
        hours, minutes, days = self.hours, self.minutes, set[int]()
        if self.expression:
            fields = self.expression.split()
            minutes, hours = _numbers(fields[0], 0, 59), _numbers(fields[1], 0, 23)
            days = {
                (number - 1) % 7 for number in _numbers(fields[4], 0, 6, _CRON_DAYS)
            }  # Python's weeks begin on Monday
        for number in range(SEARCHED_DAYS):
            day = earliest.date() + timedelta(number)
            if day.weekday() in days if self.expression else self._is_on(day, begin.date()):
                for hour, minute in itertools.product(hours, minutes):
                    yield datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)

    def _is_on(self, day: date, begin: date) -> bool:
        """Return whether a recurrence with times of day fires on a day."""
        if self.frequency == "month":
            months = 12 * (day.year - begin.year) + day.month - begin.month
            return months % self.interval == 0 and (day.day in self.month_days or self._is_week_day(day, begin))
        if self.frequency == "week":
            weeks = (day - timedelta(day.weekday()) - begin + timedelta(begin.weekday())).days // 7
            return weeks % self.interval == 0 and self._is_week_day(day, begin)
        return self.frequency != "day" or (day - begin).days % self.interval == 0

    def _is_week_day(self, day: date, begin: date) -> bool:
        if self.week_days:
            return WEEK_DAYS[day.weekday()] in self.week_days
        if self.frequency == "month":
            return not self.month_days and day.day == begin.day
        return day.weekday() == begin.weekday()

    def _steps(self, begin: datetime, earliest: datetime) -> Iterator[datetime]:
        """Yield the moments of a recurrence without times of day, counted from its begin."""
        if self.frequency == "month":
            for month in range(0, 12 * 200, self.interval):
                year, index = divmod(begin.month - 1 + month, 12)
                if begin.year + year > earliest.year + SEARCHED_DAYS // 366:
                    return
                try:
                    yield begin.replace(year=begin.year + year, month=index + 1)
                except ValueError:  # a month without such a day
                    continue
            return
        step = _STEPS[self.frequency] * self.interval
        count = max(0, (earliest - begin) // step)
        if self.frequency in ("minute", "hour"):  # of real time, also where the clock is changed
            begin = begin.astimezone(UTC)
        yield from (begin + number * step for number in (count, count + 1, count + 2))


def faults(values: Mapping[str, Any], now: datetime) -> Iterator[tuple[KeyPath, str]]:
    """Yield what is wrong with the trigger of a file whose values fit the schema; Azure finds much of it only later."""
    name = values.get("time_zone")
    if isinstance(name, str) and time_zones.zone(name) is None:
        meant = time_zones.proposal(name)
        hint = f'write "{meant}"' if meant else 'write UTC, or a name such as "W. Europe Standard Time"'
        yield ("time_zone",), f"{name!r} is no time zone of Azure, which takes the names of Windows: {hint}"
    yield from _time_faults(values, now)
    if isinstance(values.get("expression"), str):
        yield from ((("expression",), text) for text in _cron_faults(values["expression"]))
    interval = whole_number(values.get("interval"))
    frequency = str(values.get("frequency")).lower()
    if interval is not None and interval < 1:
        yield ("interval",), f"{interval} is too few: write 1 or more"
    elif interval is not None and interval > _LONGEST.get(frequency, interval):
        yield ("interval",), f"{interval} {frequency}s are more than four years: write {_LONGEST[frequency]} or less"
    if isinstance(pattern := values.get("schedule"), dict):
        yield from ((("schedule", *path), text) for path, text in _pattern_faults(pattern, frequency))


def _time_faults(values: Mapping[str, Any], now: datetime) -> Iterator[tuple[KeyPath, str]]:
    zone = time_zones.zone(str(values.get("time_zone") or UTC_NAME)) or ZoneInfo(UTC_NAME)
    moments = dict[str, datetime]()
    for key in ("start_time", "end_time"):
        if isinstance(text := values.get(key), str):
            try:
                moments[key] = read_time(text, zone)
            except ValueError:
                yield (key,), f'{text!r} is no time: write it as in {key}: "2027-01-31T06:00:00"'
    end = moments.get("end_time")
    if end is None:
        return
    if end <= now:
        yield ("end_time",), f"{values['end_time']} is past, so that it would never run: take the line out, or the file"
    elif "start_time" in moments and end <= moments["start_time"]:
        yield ("end_time",), f"is not after start_time ({values['start_time']}), so that it would never run"


def _cron_faults(expression: str) -> Iterator[str]:
    fields = expression.split()
    if len(fields) != len(_CRON_FIELDS):
        wanted = "minute hour day month day-of-week, as in 0 2 * * 1"
        yield f"{expression!r} has {len(fields)} fields, and five are wanted: write {wanted}"
        return
    limits = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
    for number, (field, name, (least, most)) in enumerate(zip(fields, _CRON_FIELDS, limits, strict=True)):
        if number in _IGNORED:
            if field != "*":
                yield (
                    f"Azure ignores the {name} of a cron expression ({field!r}) and would run every {name}: write *,"
                    " or a recurrence with frequency: month"
                )
            continue
        try:
            _numbers(field.lower(), least, most, _CRON_DAYS if number == 4 else ())
        except ValueError as error:
            names = ", or sun to sat" if number == 4 else ""
            forms = f"{least} to {most}{names}, *, a list (1,2), a range (1-5) or a step (*/2)"
            yield f"{field!r} is no {name} ({error}): write {forms}"


def _pattern_faults(pattern: Mapping[str, Any], frequency: str) -> Iterator[tuple[KeyPath, str]]:
    for key, (least, most) in _LIMITS.items():
        for number in map(whole_number, listed(pattern.get(key))):
            if number is not None and not least <= number <= most:
                yield (key,), f"{number} is out of range: write {least} to {most}"
    for day in listed(pattern.get("week_days")):
        if isinstance(day, str) and day.lower() not in WEEK_DAYS:
            yield ("week_days",), f"{day!r} is none of {', '.join(WEEK_DAYS)}"
    for key, fitting in (("week_days", ("week", "month")), ("month_days", ("month",))):
        if pattern.get(key) is not None and frequency not in fitting:
            yield (key,), f"does not go with frequency {frequency}: write frequency: {fitting[0]}, or take it out"
    if frequency in ("minute", "hour"):
        yield (), f"does not go with frequency {frequency}: write frequency: day, or take it out"


def _numbers(field: str, least: int, most: int, names: Sequence[str] = ()) -> tuple[int, ...]:
    """Return the numbers of a field of a cron expression. Raises ValueError, saying which part is wrong."""
    found = set[int]()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if step and (not step.isdecimal() or int(step) < 1 or not (span == "*" or dash)):
            raise ValueError(f"{part!r} is no step")
        if span == "*":
            begin, end = least, most
        else:
            begin, end = (_number(text, names) for text in (first, last if dash else first))
        if not least <= begin <= end <= most:
            raise ValueError(f"{span!r} is out of range")
        found.update(range(begin, end + 1, int(step or 1)))
    return tuple(sorted(found))


def _number(text: str, names: Sequence[str]) -> int:
    if text in names:
        return names.index(text)
    if not text.isdecimal() or len(text) > 2:
        raise ValueError(f"{text!r} is no number")
    return int(text)


def read_time(text: object, zone: ZoneInfo) -> datetime:
    """Return the moment of a text; without an offset it is in the time zone of the trigger. Raises ValueError."""
    if ":" not in str(text):
        raise ValueError("a date without a time")
    moment = datetime.fromisoformat(str(text).strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def listed(value: object) -> list[Any]:
    """Return one value or several as a list."""
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", key).lower()

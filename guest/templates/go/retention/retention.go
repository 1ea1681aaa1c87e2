// Package retention decides when a container is due: not in a freeze, such as a weekend or the holidays.
//
//	setting          value                              effect
//	freeze_weekdays  Sat,Sun if not set; may be empty   nothing is removed on these days (UTC)
//	freeze_dates     FROM/TO,..., each a day            nor from FROM until TO, both included: 2026-12-20/2027-01-06
//
// A policy answers two questions. *When* is a stopped container due? That is [Review], in this file: change it to your
// liking. *How* is it removed? That is in package cleanup: it can stay as it is.
//
// What all the types and functions mean stands in wit/.
package retention

import (
	"fmt"
	"slices"
	"strings"
	"time"

	clock "policy/bindings/galaxy_rtmanager_clock"
	retention "policy/bindings/galaxy_rtmanager_retention"
	settings "policy/bindings/wasi_config_store"
	"policy/problems"
)

// No freeze is longer, in days.
const longestFreeze = 3 * 366

type freeze struct {
	weekdays []time.Weekday
	dates    []dates
}

// A first and a last day.
type dates struct{ from, to time.Time }

// Review answers whether it is due. The platform's own retention is over already: a policy can only keep longer.
func Review(candidate retention.Candidate) retention.Advice {
	defer problems.Told()
	freeze, err := configured()
	if err != nil {
		// Removing cannot be undone, so what is unclear is kept. People see the reason.
		return retention.MakeAdviceKeep(err.Error())
	}
	now := time.UnixMicro(int64(clock.Now())).UTC()
	today := now.Truncate(24 * time.Hour)
	if !freeze.holds(today) {
		return retention.MakeAdviceDue()
	}
	for days := 1; days <= longestFreeze; days++ {
		if day := today.AddDate(0, 0, days); !freeze.holds(day) {
			return retention.MakeAdviceWaitUntil(uint64(day.UnixMicro()))
		}
	}
	return retention.MakeAdviceKeep("the freeze does not end")
}

func (f freeze) holds(day time.Time) bool {
	if slices.Contains(f.weekdays, day.Weekday()) {
		return true
	}
	return slices.ContainsFunc(f.dates, func(d dates) bool { return !day.Before(d.from) && !day.After(d.to) })
}

// What the tenant's binding sets.
func configured() (freeze, error) {
	var found freeze
	for _, name := range listed("freeze_weekdays", "Sat,Sun") {
		weekday, err := weekdayOf(name)
		if err != nil {
			return found, err
		}
		found.weekdays = append(found.weekdays, weekday)
	}
	for _, text := range listed("freeze_dates", "") {
		dates, err := datesOf(text)
		if err != nil {
			return found, err
		}
		found.dates = append(found.dates, dates)
	}
	return found, nil
}

func weekdayOf(name string) (time.Weekday, error) {
	for weekday := time.Sunday; weekday <= time.Saturday; weekday++ {
		if strings.EqualFold(weekday.String()[:3], name) {
			return weekday, nil
		}
	}
	return 0, fmt.Errorf("freeze_weekdays names %q, which is none of Mon, Tue, Wed, Thu, Fri, Sat, Sun", name)
}

func datesOf(text string) (dates, error) {
	first, last, _ := strings.Cut(text, "/")
	from, err := time.Parse(time.DateOnly, first)
	to, second := time.Parse(time.DateOnly, last)
	if err != nil || second != nil || to.Before(from) {
		return dates{}, fmt.Errorf("freeze_dates names %q, not FROM/TO such as 2026-12-20/2027-01-06", text)
	}
	return dates{from, to}, nil
}

// The parts of a setting between its commas. One that cannot be read makes a part that nothing understands.
func listed(name, otherwise string) []string {
	answer := settings.Get(name)
	if answer.IsErr() {
		return []string{"what cannot be read"}
	}
	text := answer.Ok().SomeOr(otherwise)
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

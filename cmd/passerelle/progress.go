package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/passerelle-cloud/passerelle/transfer"
)

// meter shows progress: a bar with rate and time left on a terminal, a plain line every few seconds elsewhere.
type meter struct {
	out  io.Writer
	bar  *progressbar.ProgressBar // nil where out is no terminal
	step transfer.Step
	next time.Time // when the next plain line is due
	from time.Time // when the step began
}

const plainEvery = 5 * time.Second

// meter returns the observer of a transfer, and what to call at its end. With --json nothing is shown.
func (p *program) meter() (transfer.Observer, func()) {
	if p.JSON {
		return nil, func() {}
	}
	m := &meter{out: p.err}
	if f, ok := p.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		m.bar = progressbar.NewOptions64(-1, progressbar.OptionSetWriter(p.err), progressbar.OptionShowBytes(true),
			progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetRenderBlankState(false), progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth())
	}
	return m.observe, m.close
}

func (m *meter) observe(p transfer.Progress) {
	if p.Step != m.step {
		m.begin(p)
	}
	if m.bar != nil {
		// The bar's own errors are those of a terminal that went away: the work goes on.
		_ = m.bar.Set64(p.Bytes)
		return
	}
	if now := time.Now(); now.After(m.next) {
		m.next = now.Add(plainEvery)
		fmt.Fprintln(m.out, m.line(p, now))
	}
}

func (m *meter) begin(p transfer.Progress) {
	m.step, m.from = p.Step, time.Now()
	m.next = m.from.Add(plainEvery)
	if m.bar == nil {
		return
	}
	total := p.TotalBytes
	if total == 0 {
		total = -1
	}
	m.bar.Reset()
	m.bar.ChangeMax64(total)
	m.bar.Describe(fmt.Sprintf("%-9s", p.Step))
}

// line says the same as the bar.
func (m *meter) line(p transfer.Progress, now time.Time) string {
	rate := float64(p.Bytes) / now.Sub(m.from).Seconds()
	text := fmt.Sprintf("%s: %s, %d records, %s/s", p.Step, size(p.Bytes), p.Records, size(int64(rate)))
	if p.TotalBytes > p.Bytes && rate > 0 {
		left := time.Duration(float64(p.TotalBytes-p.Bytes)/rate) * time.Second
		text += fmt.Sprintf(", %d %% of %s, about %s left", p.Bytes*100/p.TotalBytes, size(p.TotalBytes), left)
	}
	return text
}

func (m *meter) close() {
	if m.bar != nil {
		_ = m.bar.Finish()
	}
}

// size writes bytes for people: 1.5 MB.
func size(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	value, unit := float64(n), 0
	for value >= 1000 && unit < len(units)-1 {
		value /= 1000
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}

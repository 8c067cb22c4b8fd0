package telemetry

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Namespace is the prefix of every metric that is xferd's own.
const Namespace = "xferd"

// Metrics is one process's registry. Several of them can live in one process.
type Metrics struct {
	reg *prometheus.Registry
	own prometheus.Registerer
}

// NewMetrics returns a registry with the metrics of the Go runtime, the process
// and the build. The constant label node tells several nodes in one process
// apart; an empty one is left out.
func NewMetrics(version, node string) *Metrics {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m := &Metrics{reg: reg, own: prometheus.WrapRegistererWithPrefix(Namespace+"_", reg)}
	if node != "" {
		m.own = prometheus.WrapRegistererWith(prometheus.Labels{"node": node}, m.own)
	}
	m.own.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "build_info", Help: "Always 1; the version is in the label.",
		ConstLabels: prometheus.Labels{"version": version},
	}, func() float64 { return 1 }))
	return m
}

// Register adds collectors; their names get the prefix "xferd_". A name that is
// already taken is an error.
func (m *Metrics) Register(cs ...prometheus.Collector) error {
	for _, c := range cs {
		if err := m.own.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// Gatherer reads the metrics, for tests and other exporters.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.reg }

// Handler serves the metrics. At most four scrapes run at once.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4,
		ErrorHandling:       promhttp.ContinueOnError, // one bad collector must not hide the others
	})
}

package node

import "github.com/prometheus/client_golang/prometheus"

var (
	descRegions        = prometheus.NewDesc("regions", "Memory regions, by state.", []string{"state"}, nil)
	descRegionBytes    = prometheus.NewDesc("region_bytes", "Memory of all regions.", nil, nil)
	descRegionPinned   = prometheus.NewDesc("region_pinned_bytes", "Memory of regions that is registered with RDMA devices, once for each device.", nil, nil)
	descRegionAttached = prometheus.NewDesc("region_attached", "Programs that are attached to regions.", nil, nil)
	descRegionOpen     = prometheus.NewDesc("region_open_writes", "Transfers that write to regions now.", nil, nil)
	descRegionTorn     = prometheus.NewDesc("region_torn_ranges", "Ranges of regions that are undefined, since a transfer that wrote them did not end well.", nil, nil)
	descRegionCommits  = prometheus.NewDesc("region_commits_total", "Writes of regions that became whole: by so much their generations rose.", nil, nil)
	descRegionWritten  = prometheus.NewDesc("region_written_bytes_total", "Bytes of those.", nil, nil)
	descRegionTears    = prometheus.NewDesc("region_torn_total", "Writes of regions that did not end well.", nil, nil)
	descRegionExpired  = prometheus.NewDesc("region_expired_total", "Regions whose lease ended.", nil, nil)
	descRegionRefused  = prometheus.NewDesc("region_refused_total", "Regions that were not made, attached, read, written or deleted as somebody asked.", nil, nil)

	regionDescs = []*prometheus.Desc{descRegions, descRegionBytes, descRegionPinned, descRegionAttached, descRegionOpen, descRegionTorn,
		descRegionCommits, descRegionWritten, descRegionTears, descRegionExpired, descRegionRefused}
)

func (c collector) regions(ch chan<- prometheus.Metric) {
	s := c.n.regions.Stats()
	pinned := int64(0)
	if c.n.verbs != nil {
		pinned = c.n.verbs.Pinned().Bytes // with what is in quarantine
	}
	for state, n := range map[string]int{
		"ready": s.Ready, "detached": s.Detached, "quarantined": s.Quarantined, "deleting": s.Regions - s.Ready - s.Detached - s.Quarantined,
	} {
		ch <- prometheus.MustNewConstMetric(descRegions, prometheus.GaugeValue, float64(n), state)
	}
	for d, v := range map[*prometheus.Desc]float64{
		descRegionBytes: float64(s.Bytes), descRegionPinned: float64(pinned), descRegionAttached: float64(s.Attached),
		descRegionOpen: float64(s.OpenWrites), descRegionTorn: float64(s.Torn),
	} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	for d, v := range map[*prometheus.Desc]uint64{
		descRegionCommits: s.Commits, descRegionWritten: s.Written, descRegionTears: s.TornWrites,
		descRegionExpired: s.Expired, descRegionRefused: s.Refused,
	} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
}

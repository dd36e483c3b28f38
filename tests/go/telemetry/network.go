package telemetry

import (
	"fmt"
	"time"
)

// LinkType is sent as an integer, as iota enumerations are.
type LinkType int

// The link types, in the contract's order.
const (
	DC LinkType = iota
	Metro
	WAN
	Edge
)

var linkTypes = []string{"dc", "metro", "wan", "edge"}

// Mode is how DWCP drives the link; sent as an integer.
type Mode int

var modes = []string{"standard", "turbo", "reliable"}

// Tier is sent by name.
type Tier string

var tiers = []Tier{"Premium", "Standard", "Economy"}

// Network is a link's state in a node's own words: durations as time.Duration,
// times with a zone, local hours, Go's weekdays, and a field nobody knows.
type Network struct {
	Timestamp         time.Time     `json:"timestamp"`
	NodeID            string        `json:"node_id"`
	PeerID            string        `json:"peer_id"`
	Region            string        `json:"region"`
	LinkType          LinkType      `json:"link_type"`
	Mode              Mode          `json:"dwcp_mode"`
	Tier              Tier          `json:"network_tier"`
	Transport         string        `json:"transport_type"`
	RTT               time.Duration `json:"rtt"`
	Jitter            time.Duration `json:"jitter_ns"`
	ThroughputBps     float64       `json:"throughput_bps"`
	PacketLossPercent float64       `json:"packet_loss_percent"`
	BytesTx           uint64        `json:"bytes_tx"`
	BytesRx           uint64        `json:"bytes_rx"`
	Retransmits       int           `json:"retransmits"`
	CongestionWindow  int           `json:"congestion_window"`
	QueueDepth        int           `json:"queue_depth"`
	TimeOfDay         int           `json:"time_of_day"`
	DayOfWeek         time.Weekday  `json:"day_of_week"`
	AgentVersion      string        `json:"agent_version"`
}

// Short is the collector's short form, with integer node ids and epoch milliseconds.
type Short struct {
	Bandwidth  float64      `json:"bandwidth_mbps"`
	Latency    float64      `json:"latency_ms"`
	PacketLoss float64      `json:"packet_loss"`
	JitterVar  float64      `json:"jitter_variance_ms2"`
	TimeOfDay  int          `json:"time_of_day"`
	DayOfWeek  time.Weekday `json:"day_of_week"`
	NodeID     int          `json:"node_id"`
	PeerID     int          `json:"peer_id"`
	Timestamp  int64        `json:"timestamp"`
}

func network(i int) Event {
	at := start.Add(time.Duration(i)*time.Minute + 123456789*time.Nanosecond)
	if i%4 == 3 {
		return short(i, at)
	}
	local := at.In(time.FixedZone("", 5*3600+1800))
	s := Network{
		Timestamp: local, NodeID: fmt.Sprintf("node-%d", i%7), PeerID: fmt.Sprintf("10.0.0.%d:7946", i%3),
		Region: "ap-south", LinkType: LinkType(i % 4), Mode: Mode(i % 3), Tier: tiers[i%3], Transport: "QUIC",
		RTT: 12345678*time.Nanosecond + time.Duration(i)*time.Microsecond, Jitter: 1500 * time.Microsecond,
		ThroughputBps: 8e8 + float64(i), PacketLossPercent: 0.25, BytesTx: 1 << 40, BytesRx: uint64(i),
		Retransmits: i, CongestionWindow: 64, QueueDepth: 3, TimeOfDay: local.Hour(), DayOfWeek: local.Weekday(),
		AgentVersion: "1.4.2",
	}
	return Event{Key: linkKey(s.NodeID, s.PeerID), Sent: s, Means: map[string]any{
		"timestamp": at.UnixMilli(), "node_id": s.NodeID, "peer_id": s.PeerID, "region": s.Region,
		"link_type": linkTypes[s.LinkType], "dwcp_mode": modes[s.Mode], "network_tier": i%3 + 1, "transport_type": "quic",
		"rtt_ms": milliseconds(s.RTT), "jitter_ms": 1.5, "throughput_mbps": s.ThroughputBps / 1e6,
		"packet_loss": 0.0025, "bytes_tx": s.BytesTx, "bytes_rx": s.BytesRx, "retransmits": i,
		"congestion_window": 64, "queue_depth": 3, "az": "",
	}}
}

func short(i int, at time.Time) Event {
	s := Short{
		Bandwidth: 500 + float64(i)/8, Latency: 20.5, PacketLoss: 0.001, JitterVar: 6.25, TimeOfDay: at.Hour(),
		DayOfWeek: at.Weekday(), NodeID: i % 5, PeerID: 99, Timestamp: at.UnixMilli(),
	}
	node, peer := fmt.Sprint(s.NodeID), "99"
	return Event{Key: linkKey(node, peer), Sent: s, Means: map[string]any{
		"timestamp": s.Timestamp, "node_id": node, "peer_id": peer, "rtt_ms": 20.5, "jitter_ms": 2.5,
		"throughput_mbps": s.Bandwidth, "packet_loss": 0.001, "bytes_tx": 0, "bytes_rx": 0, "retransmits": 0,
		"congestion_window": 0, "queue_depth": 0, "region": "", "az": "", "link_type": "wan",
		"dwcp_mode": "standard", "network_tier": 2, "transport_type": "tcp",
	}}
}

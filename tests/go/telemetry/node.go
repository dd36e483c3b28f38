package telemetry

import (
	"fmt"
	"time"
)

// Node is a node's metrics, with latencies as time.Duration under names that mean milliseconds, so it declares them.
type Node struct {
	Timestamp      time.Time         `json:"timestamp"`
	NodeID         int               `json:"node_id"`
	LatencyMean    time.Duration     `json:"latency_mean"`
	LatencyStd     time.Duration     `json:"latency_std"`
	LatencyP95     time.Duration     `json:"latency_p95"`
	LatencyP99     time.Duration     `json:"latency_p99"`
	ThroughputMean float64           `json:"throughput_mean"`
	ThroughputStd  float64           `json:"throughput_std"`
	ErrorRate      float64           `json:"error_rate"`
	ErrorCount     int               `json:"error_count"`
	CPU            float64           `json:"cpu_usage"`
	Memory         float64           `json:"memory_usage"`
	Disk           float64           `json:"disk_usage"`
	NetworkIO      float64           `json:"network_io"`
	DiskIO         float64           `json:"disk_io"`
	Compression    float64           `json:"compression_ratio"`
	Accuracy       float64           `json:"prediction_accuracy"`
	ConsensusTime  time.Duration     `json:"consensus_time"`
	Goroutines     int               `json:"goroutines"`
	Units          map[string]string `json:"units"`
}

var nodeUnits = map[string]string{
	"latency_mean": "ns", "latency_std": "ns", "latency_p95": "ns", "latency_p99": "ns", "consensus_time": "ns",
	"cpu_usage": "ratio",
}

func node(i int) Event {
	at := start.Add(time.Duration(i) * 5 * time.Second)
	s := Node{
		Timestamp: at, NodeID: i % 6, LatencyMean: 127400 * time.Microsecond, LatencyStd: 48300 * time.Microsecond,
		LatencyP95: 198700 * time.Microsecond, LatencyP99: 287400*time.Microsecond + time.Duration(i),
		ThroughputMean: 2847, ThroughputStd: 487, ErrorRate: 0.34, ErrorCount: i, CPU: 0.6875, Memory: 71.5, Disk: 40,
		NetworkIO: 120, DiskIO: 80, Compression: 3.47, Accuracy: 98.5, ConsensusTime: 45700 * time.Microsecond,
		Goroutines: 512, Units: nodeUnits,
	}
	return Event{Key: fmt.Sprint(s.NodeID), Sent: s, Means: map[string]any{
		"timestamp": at.UnixMilli(), "node_id": fmt.Sprint(s.NodeID), "latency_mean": 127.4, "latency_std": 48.3,
		"latency_p95": 198.7, "latency_p99": milliseconds(s.LatencyP99), "throughput_mean": 2847, "throughput_std": 487,
		"error_rate": 0.34, "error_count": i, "cpu_usage": 68.75, "memory_usage": 71.5, "disk_usage": 40,
		"network_io": 120, "disk_io": 80, "compression_ratio": 3.47, "prediction_accuracy": 98.5, "consensus_time": 45.7,
		"network_bandwidth": 0, "storage_used": 0, "request_rate": 0,
	}}
}

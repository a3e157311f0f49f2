"""Words that are nobody's: Kubernetes' own terms, errors of systems and of the network, and plain technical English. A table.

A word belongs here only if it says nothing about whoever uses it. What is not here is replaced before anything leaves (see pseudonyms).
"""

from __future__ import annotations

from typing import Final

_KUBERNETES: Final = """
affinity allocatable annotation annotations apiserver apiversion autoscaler autoscaling backend backendref backoff batch binding bound budget
capacity certificate claim class cluster clusterip clusterrole clusterrolebinding condition configmap configmaps container containers
containercreating containerd controller cordon cordoned crashloopbackoff createcontainerconfigerror createcontainererror cronjob crd customresourcedefinition
daemonset daemonsets default deployment deployments desired disruption drain endpoint endpoints endpointslice errimagepull errimageneverpull evicted eviction
exec execprobe externalname failed failedcreate failedmount failedscheduling failure finalizer finalizers gateway group grace headless healthz
horizontalpodautoscaler hostname hostpath hostport hpa httproute image imageid imagepullbackoff imagepullpolicy ifnotpresent ingress ingressclass init initializing
invalidimagename job jobs key keys kind kube kubelet kubernetes label labels limit limitrange limits listener liveness loadbalancer
manifest memory memorypressure diskpressure pidpressure metadata metric metrics mount mounts mutating name namespace namespaces network networkpolicy never node nodename
nodeport nodes nodeselector notready oomkilled operator owner pending persistentvolume persistentvolumeclaim pod podinitializing poddisruptionbudget podscheduled
pods policy port ports preemption priority priorityclass probe progressdeadlineexceeded progressing protocol provisioner pull pvc pv quota readiness ready reason
recreate registry replica replicas replicaset replicasets request requests resource resourcequota resources restart restartcount restarts revision role rolebinding
rollout rollingupdate runasnonroot runtimeclass sandbox schedule scheduled scheduler scheduling secret secrets securitycontext selector service serviceaccount services sidecar
spec startup stateful statefulset statefulsets status storage storageclass succeeded suspend tag taint taints targetport tcp template terminated
terminating timeout toleration tolerations tls topology udp unavailable unhealthy unschedulable validating value version volume volumes waiting webhook webhooks
workload unknown running always onfailure exists noschedule noexecute true false null none
"""
_SYSTEM: Final = """
abort aborted accept access address again already argument bad bind broken buffer call cannot child close closed command connect connection core corrupt cpu
create created data deadlock denied descriptor device directory disk dns does entry eacces eaddrinuse eagain ebadf econnrefused econnreset eexist einval eio
eisdir emfile enoent enoexec enomem enospc enotdir eof eperm epipe erofs errno error etimedout etxtbsy exceeded exception executable exist exit exited
expired fatal fault file filesystem found full handshake header host http https illegal in input instruction interrupted invalid io is json kill killed
killing layer left line link listen lookup loop memory message method missing mode module mounted multiple need network no not null object of oom
open operation out output overflow panic parse password path peer permission permitted pid pipe process protocol quota read refused relative reset resolve resolved
root route sigabrt sigbus sigint sigkill sigsegv sigterm signal size socket space stack start started state stopped such symbol syntax system temporary
thread time timed timeout token too traceback trust type unable undefined unexpected unreachable unsupported url usage user uid gid using
variable verify wrong write xml yaml x509 authority signed certificate ca self
get post put patch delete head options
"""
_ENGLISH: Final = """
a about above after all also an and any are as at back be because been before behind being below between both but by came can change changed come did do done
down during each either else end ended ends enough ever every first for from gave gives go gone had has have here how if into it its last
later less like longer made makes many may means more most much must new next now often old on once one only or other over own part
per probably rather same second seconds minutes hours days see seen seems sent several shall should since so some still take takes
than that the their them then there these they this those three through to together too tried tries two under until up upon used uses
accepts answer answers ask asks blame code codes crash crashes declare declares dial dialing evidence fail fails finding fix fixes hang hangs happen
have he just known lack lacks let lives load loaded loading log logs look made makes meant missing names need needs nobody
other others pass passes place places run runs say says select selects send sends set sets show shows symptom symptoms tell tells
told wait waits want wants whose works worked wrongly very was way well were what when where which while who why will with within without would yet zero ago x ms
"""

WORDS: Final = frozenset(f"{_KUBERNETES} {_SYSTEM} {_ENGLISH}".split())
"""In lower case."""

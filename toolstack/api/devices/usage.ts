/** What may be said of a vif and a vbd, for usage lines. */

export const VIF_USAGE = "[mac=MAC][,ip=IP|auto][,bridge=NAME][,rate=RATE][,model=noxs|xenbus]";
export const VBD_USAGE = "target=[KIND:]NAME,vdev=xvda[,access=r|w][,model=noxs|xenbus]";
